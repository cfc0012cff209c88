"""Leases in virtual time: which are over, and when to look again."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from rele.engine.leases import FOREVER, Leases, describe_stuck

LEASE = 600.0


def message(number: int = 1) -> Any:
    return Mock(message_id=f"message-{number}")


def test_a_lease_ends_when_it_is_due_and_only_once() -> None:
    leases = Leases(LEASE)
    lease = leases.take(message(), 1000)

    assert leases.end_due(1599.9) == []
    assert leases.end_due(1600) == [lease]
    assert lease.is_over
    assert leases.end_due(5000) == []


def test_what_is_handled_in_time_does_not_end() -> None:
    leases = Leases(LEASE)
    lease = leases.take(message(), 0)
    leases.let_go(lease)

    assert leases.end_due(10_000) == []
    assert leases.next_check(10_000) is None


def test_the_oldest_end_first() -> None:
    leases = Leases(LEASE)
    taken = [leases.take(message(), second) for second in range(10)]

    assert leases.end_due(LEASE + 4) == taken[:5]
    assert leases.next_check(LEASE + 4) == LEASE + 5.1


def test_a_lease_that_is_over_begins_no_handler() -> None:
    leases = Leases(LEASE)
    over, other = leases.take(message(), 0), leases.take(message(), 500)
    leases.end_due(LEASE)

    assert not leases.begin(over, 1, LEASE)
    assert leases.begin(other, 1, LEASE)
    assert (other.thread_id, other.begun_at) == (1, LEASE)


def test_leases_that_end_one_after_another_are_looked_at_once_a_second() -> None:
    leases = Leases(LEASE)
    first = leases.take(message(), 0)
    for number in range(1, 60):
        leases.take(message(), number * 0.05)
    checks, now = 0, leases.first_check(first)

    ended: list[Any] = []
    while True:
        checks += 1
        ended += leases.end_due(now)
        following = leases.next_check(now)
        if following is None:
            break
        now = following

    assert len(ended) == 60
    assert checks <= 4


def test_a_lease_without_an_end_never_ends() -> None:
    leases = Leases()
    lease = leases.take(message(), 0)

    assert leases.first_check(lease) == FOREVER
    assert leases.end_due(1e12) == []


def test_cleared_no_more_leases_end() -> None:
    leases = Leases(LEASE)
    leases.take(message(), 0)

    leases.clear()

    assert leases.end_due(10_000) == []


def test_the_line_about_a_stuck_handler() -> None:
    leases = Leases(LEASE)
    lease = leases.take(message(7), 0)

    line = describe_stuck(
        lease, subscription="photos", seconds=LEASE, begun_at=1764118800, where="It is at: x"
    )

    assert line == (
        "The handler of photos has had the message message-7 since 2025-11-26 01:00:00 UTC and has "
        "not returned: its lease ends after 600 s (max_lease_duration), and the message will be "
        "delivered again. It is at: x"
    )
