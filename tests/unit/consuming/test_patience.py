"""How long the handlers of a worker may run that stops without hurry."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from rele.consuming.shutdown import Patience, drain


class Handlers:
    """A consumer with one handler that runs until the time ``until``."""

    def __init__(self, clock: Clock, until: float) -> None:
        self._clock = clock
        self._until = until
        self.drained_until = 0.0
        self.joined_until = 0.0

    @property
    def running(self) -> int:
        return int(self._clock.now < self._until)

    def drain(self, deadline: float) -> None:
        self.drained_until = deadline

    def join(self, deadline: float) -> int:
        self.joined_until = deadline
        self._clock.now = max(self._clock.now, min(deadline, self._until))
        return self.running


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def hurried_at(clock: Clock, moment: float) -> Callable[[float], bool]:
    def wait(seconds: float) -> bool:
        clock.now += seconds
        return clock.now >= moment

    return wait


def test_without_hurry_a_handler_may_run_longer_than_the_timeout(clock: Clock) -> None:
    consumer: Any = Handlers(clock, until=1500)

    assert drain([consumer], 30, patience=Patience(3600, hurried_at(clock, 9999))) == 0

    assert consumer.drained_until == 4600
    assert 1500 <= clock.now < 1501


def test_once_somebody_is_in_a_hurry_the_timeout_begins(clock: Clock) -> None:
    consumer: Any = Handlers(clock, until=1500)

    assert drain([consumer], 30, patience=Patience(3600, hurried_at(clock, 1100))) == 1

    assert 1130 <= clock.now < 1131


def test_a_handler_that_never_ends_is_not_waited_for_longer_than_its_message_is_leased(
    clock: Clock,
) -> None:
    consumer: Any = Handlers(clock, until=99999)

    assert drain([consumer], 30, patience=Patience(600, hurried_at(clock, 99999))) == 1

    assert 1600 <= clock.now <= 1631


def test_without_patience_the_timeout_begins_at_once(clock: Clock) -> None:
    consumer: Any = Handlers(clock, until=1500)

    assert drain([consumer], 30) == 1
    assert (clock.now, consumer.drained_until) == (1030, 1030)
