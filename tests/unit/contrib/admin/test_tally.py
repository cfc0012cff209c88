"""Counting what was handled, until a database has it."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from rele.contrib.admin.scale import percentile
from rele.contrib.admin.tally import KEPT_FAILURES, KEPT_MINUTES, Tally, Unwritten
from rele.exceptions import Drop

ORDERS = SimpleNamespace(name="orders")


class Clock:
    def __init__(self) -> None:
        self.now = 6_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tally(clock: Clock) -> Tally:
    return Tally(clock)


def succeed(tally: Tally, seconds: float = 0.1) -> None:
    tally.post_process_message_success(ORDERS, tally._now() - seconds, None)


def note_written(tally: Tally, written: Unwritten) -> None:
    tally.note_written(written.minutes)
    for failed in written.failures:
        tally.note_failure_written(failed)


def fail(tally: Tally, error: Exception) -> None:
    tally.post_process_message_failure(ORDERS, error, tally._now() - 0.1, None)


def test_counts_messages_by_subscription_and_minute(tally: Tally, clock: Clock) -> None:
    succeed(tally)
    fail(tally, ValueError("no"))
    clock.now += 60
    succeed(tally)

    minutes = tally.unwritten().minutes

    assert {key: (each.handled, each.failed) for key, each in minutes.items()} == {
        ("orders", 100): (2, 1),
        ("orders", 101): (1, 0),
    }
    assert percentile(minutes["orders", 101].durations, 0.5) == pytest.approx(0.1, 0.125)


def test_what_is_written_is_not_written_again(tally: Tally, clock: Clock) -> None:
    succeed(tally)
    fail(tally, ValueError("no"))
    note_written(tally, tally.unwritten())

    assert tally.unwritten().minutes == {}
    assert tally.unwritten().failures == ()

    succeed(tally)

    [count] = tally.unwritten().minutes.values()
    assert count.handled == 3, "all of the minute, since the row is replaced"
    clock.now += 120
    note_written(tally, tally.unwritten())
    assert tally._minutes == {}


def test_what_happens_while_it_is_written_is_written_next(tally: Tally) -> None:
    fail(tally, ValueError("no"))
    writing = tally.unwritten()
    fail(tally, ValueError("no"))
    fail(tally, KeyError("no"))
    note_written(tally, writing)

    left = tally.unwritten()

    assert [(each.raised.kind, each.count) for each in left.failures] == [
        ("ValueError", 1),
        ("KeyError", 1),
    ]
    [count] = left.minutes.values()
    assert (count.handled, count.failed) == (3, 3)


def test_an_outage_of_the_database_costs_no_more_memory_than_an_hour_does(
    tally: Tally, clock: Clock
) -> None:
    for number in range(3 * KEPT_MINUTES):
        succeed(tally)
        fail(tally, ValueError("order " + "x" * number))
        clock.now += 60
        assert len(tally.unwritten().minutes) <= KEPT_MINUTES

    assert len(tally.unwritten().failures) == KEPT_FAILURES


def test_the_text_of_the_latest_error_is_kept_with_the_first_traceback(tally: Tally) -> None:
    for number in range(3):
        fail(tally, ValueError(f"order {number}"))

    [failed] = tally.unwritten().failures

    assert (failed.count, failed.raised.text) == (3, "order 2")
    assert "order 0" in failed.traceback


def test_threads_lose_no_count() -> None:
    tally = Tally()

    def count() -> None:
        for _ in range(2_000):
            succeed(tally)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(each.handled for each in tally.unwritten().minutes.values()) == 8_000


def test_a_message_costs_little() -> None:
    """Less than a microsecond on a quiet machine, of which a busy one may make ten."""
    tally = Tally()
    hook: Any = tally.post_process_message_success
    started = time.time()

    def run() -> float:
        began = time.perf_counter()
        for _ in range(10_000):
            hook(ORDERS, started, None)
        return (time.perf_counter() - began) / 10_000

    assert min(run() for _ in range(5)) < 10e-6


def test_a_message_that_a_handler_drops_has_not_failed(tally: Tally) -> None:
    fail(tally, Drop("a test order"))

    [count] = tally.unwritten().minutes.values()
    assert (count.handled, count.failed) == (1, 0)
    assert tally.unwritten().failures == ()
