"""When a stream is started again, in virtual time."""

from __future__ import annotations

import pytest

from rele.engine.restarts import (
    Closed,
    Draining,
    Interrupted,
    LostThreads,
    Open,
    Reopened,
    Restarts,
)
from rele.engine.times import Times

TIMES = Times()


@pytest.fixture
def restarts() -> Restarts:
    restarts = Restarts(TIMES)
    assert restarts.state == Closed()
    assert restarts.opened(0) is None
    assert restarts.state == Open()
    return restarts


def test_one_that_ends_is_started_again_after_a_pause(restarts: Restarts) -> None:
    at = restarts.ended(100)

    assert restarts.state == Interrupted(1)
    assert at is not None
    assert 100.5 <= at <= 101


def test_pauses_grow_with_jitter_up_to_a_limit(restarts: Restarts) -> None:
    pauses = []
    for _ in range(2000):
        at = restarts.ended(100)
        assert at is not None
        pauses.append(at - 100)
        restarts.opened(100)

    for pause, most in zip(pauses, [1, 2, 4, 8, 15, 15], strict=False):
        assert most / 2 <= pause <= most
    assert all(7.5 <= pause <= 15 for pause in pauses[4:])
    assert len(set(pauses)) > 1900


def test_after_a_healthy_while_the_pause_is_the_first_again(restarts: Restarts) -> None:
    for _ in range(5):
        restarts.ended(100)
    healthy_at = restarts.opened(200)
    assert restarts.state == Reopened(5, 200)
    assert healthy_at == 215

    restarts.check_health(healthy_at)
    at = restarts.ended(300)

    assert restarts.state == Interrupted(1)
    assert at is not None
    assert at <= 301


def test_one_that_ends_before_it_was_healthy_is_not_back(restarts: Restarts) -> None:
    restarts.ended(100)
    healthy_at = restarts.opened(101)
    restarts.report(101)
    assert healthy_at is not None
    restarts.ended(healthy_at - 1)

    assert restarts.check_health(healthy_at) is None
    assert restarts.state == Interrupted(2)


def test_an_hour_of_interruption_is_logged_once_a_minute_and_its_end(restarts: Restarts) -> None:
    reports = []
    now: float = 0
    while now < 3600:
        at = restarts.ended(now)
        assert at is not None
        now = at
        if (seconds := restarts.report(now)) is not None:
            reports.append(seconds)
        restarts.opened(now)

    assert 45 <= len(reports) <= 60
    assert restarts.check_health(now + 14) is None
    assert restarts.check_health(now + 15) == now


def test_the_end_of_an_interruption_that_was_not_logged_is_not(restarts: Restarts) -> None:
    restarts.ended(0)
    restarts.opened(1)

    assert restarts.check_health(16) is None
    assert restarts.state == Open()


def test_drained_it_is_not_started_again(restarts: Restarts) -> None:
    state = restarts.drain(10, 40)

    assert state == Draining(10, 40)
    assert restarts.ended(11) is None
    assert restarts.state == state


@pytest.mark.parametrize(
    ("now", "running", "is_unavailable", "seconds"),
    [
        (10, 1, False, 31),
        (10, 0, False, 31),  # the last acknowledgements are sent
        (41, 1, False, 0),
        (500, 1, False, 0),
        (10, 1, True, 31),  # a handler is waited for all the same
        (10, 0, True, 1),
        (11, 0, True, 0),
    ],
)
def test_for_how_long_a_stream_that_drains_is_waited_for(
    now: float, running: int, is_unavailable: bool, seconds: float
) -> None:
    state = Draining(10, 40)

    assert (
        state.seconds_to_wait(now, TIMES, running=running, is_unavailable=is_unavailable) == seconds
    )


def test_a_thread_is_lost_when_two_checks_find_it_ended() -> None:
    lost = LostThreads(TIMES)

    assert not lost.is_lost(None)
    assert lost.next_check(0) == 5
    assert not lost.is_lost("consumer")
    assert lost.next_check(5) == 6
    assert lost.is_lost("consumer")


def test_a_thread_that_ends_with_its_stream_is_not_lost() -> None:
    lost = LostThreads(TIMES)

    assert not lost.is_lost("consumer")
    assert not lost.is_lost(None)
    assert not lost.is_lost("leaser")
    assert not lost.is_lost("consumer")
