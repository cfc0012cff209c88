from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden, InternalServerError, NotFound

from rele.engine.native.consuming.stream_ends import StreamEnds


class Availability:
    def __init__(self) -> None:
        self.failures: list[str] = []

    def note_failure(self, now: float, age: float, reason: str) -> None:
        self.failures.append(reason)


@pytest.fixture
def availability() -> Availability:
    return Availability()


@pytest.fixture
def ends(availability: Availability, caplog: pytest.LogCaptureFixture) -> StreamEnds:
    caplog.set_level(logging.INFO, "rele")
    loop: Any = SimpleNamespace(now=lambda: 100.0, availability=availability)
    threads: Any = None
    return StreamEnds("orders", loop, threads, lambda: False, _inquiry())


def _inquiry() -> Any:
    return SimpleNamespace(note_refused=lambda: None, end=lambda: None)


WITHOUT_STATUS = InternalServerError("Internal error from Core")


def test_an_end_whose_status_grpc_has_lost_says_nothing(
    ends: StreamEnds, availability: Availability, caplog: pytest.LogCaptureFixture
) -> None:
    ends.note(WITHOUT_STATUS, 0.1)
    ends.note(Forbidden("not you"), 0.1)

    assert availability.failures == []
    [line] = caplog.messages
    assert "not you" in line


def test_unless_no_stream_has_a_status(ends: StreamEnds, availability: Availability) -> None:
    for _ in range(6):
        ends.note(WITHOUT_STATUS, 0.1)

    assert len(availability.failures) == 1


def test_one_end_in_order_is_not_logged(ends: StreamEnds, caplog: pytest.LogCaptureFixture) -> None:
    ends.note(None, 0.1)
    ends.end()
    ends.note(None, 0.1)
    assert caplog.messages == []

    ends.note(None, 0.1)
    assert len(caplog.messages) == 1


class Loop:
    """Calls at once what it is to call soon."""

    availability = Availability()

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def call(self, function: Callable[[], object]) -> None:
        function()


def test_streams_that_are_refused_though_their_subscription_exists_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, threads = Loop(), SimpleNamespace(run=lambda function: function())
    arguments: Any = (loop, threads, lambda: True, _inquiry())
    ends = StreamEnds("orders", *arguments)
    missing = NotFound("not found")  # type: ignore[no-untyped-call]

    ends.note(missing, 0.1)
    assert caplog.messages == [], "it was created again, which is logged elsewhere"

    ends.note(missing, 0.1)
    [line] = caplog.messages
    assert "The stream of orders is interrupted" in line
    assert "Make the subscription" not in line

    ends.end()
    ends.note(missing, 0.1)
    assert [each for each in caplog.messages if "interrupted" in each] == [line]
