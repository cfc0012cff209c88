"""Whether Pub/Sub is available, in virtual time."""

from __future__ import annotations

import pytest

from rele.engine.availability import Availability, Available, Unavailable
from rele.engine.times import Times

OLD = 3600.0
"""Seconds for which a stream had been open."""

ADDRESS = "pubsub.example:443"


class Seen:
    """An Availability that is looked at as its driver does, with the lines that it has logged."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.core = Availability(ADDRESS, Times())
        self.lines: list[str] = []

    def fail(self, age: float, reason: str = "Socket closed") -> None:
        self.core.note_failure(self.now, age, reason)

    def connect(self, is_ready: bool = True) -> None:
        self.core.note_connection(self.now, is_ready=is_ready)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            line = self.core.check(self.now)
            if line is not None:
                self.lines.append(line.text % line.arguments)
            self.now = min(self.core.next_check(self.now) or end, end)

    @property
    def is_available(self) -> bool:
        return isinstance(self.core.state, Available)


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_the_first_failure_has_the_connection_followed(seen: Seen) -> None:
    assert seen.core.next_check(0) is None
    assert seen.core.note_failure(0, OLD, "Socket closed")
    assert not seen.core.note_failure(0, OLD, "Socket closed")
    assert seen.core.next_check(0) == 0.25


def test_a_lost_connection_is_logged_and_its_return(seen: Seen) -> None:
    seen.fail(OLD)
    seen.wait(3)

    [line] = seen.lines
    assert line.startswith(f"Pub/Sub at {ADDRESS} cannot be reached, for 2 s now")
    assert line.endswith(
        "check the network, and the api_endpoint of RELE['CLIENT_OPTIONS'] if one is set."
    )
    assert not seen.is_available

    seen.connect()
    seen.wait(2)

    assert seen.lines[1:] == [f"Pub/Sub at {ADDRESS} answers again, after 3 s."]
    assert seen.is_available


def test_an_hour_of_an_outage_is_a_line_a_minute(seen: Seen) -> None:
    seen.fail(OLD)
    seen.wait(3600)
    seen.connect()
    seen.wait(2)

    assert len(seen.lines) == 61
    assert seen.lines[-1].endswith("answers again, after 3600 s.")
    assert all("cannot be reached" in line for line in seen.lines[:-1])


def test_many_streams_that_fail_are_one_line(seen: Seen) -> None:
    for _ in range(100):
        seen.fail(OLD)
    seen.wait(5)
    seen.connect()
    seen.wait(5)

    assert len(seen.lines) == 2


def test_a_stream_that_is_ended_for_its_age_is_no_outage(seen: Seen) -> None:
    seen.fail(OLD, "The stream was ended.")
    seen.connect()
    seen.wait(5)

    assert seen.lines == []
    assert seen.is_available


def test_streams_that_are_refused_are_logged_with_the_reason(seen: Seen) -> None:
    seen.fail(OLD, "The stream was ended.")
    seen.connect()
    seen.fail(0.0, "no\n token")
    seen.wait(3)

    [line] = seen.lines
    assert "cannot be used, for 2 s now" in line
    assert line.endswith("the reason: no token")

    seen.wait(30)
    assert seen.lines[1:] == [f"Pub/Sub at {ADDRESS} answers again, after 0 s."]


def test_streams_that_are_refused_a_while_after_others_are_logged(seen: Seen) -> None:
    seen.fail(0.0, "no token")
    seen.connect()
    seen.wait(5)
    assert seen.lines == []
    assert seen.is_available

    seen.fail(0.0, "no token")
    seen.connect()
    seen.wait(5)

    assert "cannot be used" in seen.lines[0]


def test_young_streams_that_lose_their_connection_at_once_are_not_refused(seen: Seen) -> None:
    for _ in range(100):
        seen.fail(0.0)
    seen.wait(3)
    seen.connect()
    seen.wait(3)

    assert len(seen.lines) == 2
    assert "cannot be reached" in seen.lines[0]


def test_a_refusal_is_forgotten_when_the_connection_is_lost(seen: Seen) -> None:
    seen.fail(OLD)
    seen.connect()
    seen.fail(0.0, "no token")
    seen.connect(is_ready=False)
    assert seen.core.state == Unavailable()

    seen.connect()
    seen.wait(2)

    assert seen.is_available


def test_a_connection_that_holds_for_a_moment_only_is_not_the_end(seen: Seen) -> None:
    seen.fail(OLD)
    for _ in range(20):
        seen.connect()
        seen.wait(0.5)
        seen.connect(is_ready=False)
        seen.wait(0.5)

    assert not seen.is_available
