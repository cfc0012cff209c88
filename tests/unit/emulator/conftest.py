"""A subscription's delivery backlog under a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.consumers import Consumer, FlowControl
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage

ACK_DEADLINE = 10.0
PLENTY = 1_000_000


class Clock:
    """Time that stands still until ``sleep``, which brings the backlog up to date on the way."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[float] = []
        self.action: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def set_alarm(self, at: float) -> None:
        self.due.append(at)

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and min(self.due) <= end:
            self.now = max(self.now, min(self.due))
            self.due = [at for at in self.due if at > self.now]
            self.action()
        self.now = end


class Reader:
    """A consumer that records when it is woken, and takes what it can get."""

    def __init__(self, backlog: Backlog, *, max_messages: int = 0, max_bytes: int = 0) -> None:
        self.backlog = backlog
        self.woken = 0
        self.closed_with: Exception | None = None
        self.consumer = Consumer(
            FlowControl(max_messages, max_bytes), ACK_DEADLINE, self._wake, self._close
        )
        backlog.attach(self.consumer)

    def take(self, max_messages: int = PLENTY, max_bytes: int = PLENTY) -> list[Delivery]:
        return self.backlog.take(self.consumer, max_messages, max_bytes)

    def take_ids(self) -> list[int]:
        """The ids of what there is to take."""
        return [delivery.message.id for delivery in self.take()]

    def take_one(self) -> str:
        """Take exactly one message, and return its ack id."""
        (delivery,) = self.take(max_messages=1)
        return self.backlog.ack_ids.make(delivery)

    def leave(self) -> None:
        self.backlog.detach(self.consumer)

    def _wake(self) -> None:
        self.woken += 1

    def _close(self, reason: Exception) -> None:
        self.closed_with = reason


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    backlog = Backlog("0123abcd", clock, clock.set_alarm)
    clock.action = backlog.advance
    return backlog


@pytest.fixture
def reader(backlog: Backlog) -> Reader:
    return Reader(backlog)


@pytest.fixture
def publish(backlog: Backlog) -> Callable[..., list[int]]:
    """Publish so many messages of so many bytes each; returns their ids."""
    ids = count(1)

    def publish(number: int = 1, size: int = 100) -> list[int]:
        messages = [StoredMessage(next(ids), 0, b"x" * size) for _ in range(number)]
        backlog.publish(messages)
        return [message.id for message in messages]

    return publish


@pytest.fixture
def ordered_backlog(clock: Clock) -> Backlog:
    backlog = Backlog("0123abcd", clock, clock.set_alarm, ordered=True)
    clock.action = backlog.advance
    return backlog


@pytest.fixture
def publish_keyed(ordered_backlog: Backlog) -> Callable[..., list[int]]:
    """Publish so many messages of an ordering key, or of none; returns their ids."""
    ids = count(1)

    def publish_keyed(key: str, number: int = 1, size: int = 100) -> list[int]:
        messages = [StoredMessage(next(ids), 0, b"x" * size, key) for _ in range(number)]
        ordered_backlog.publish(messages)
        return [message.id for message in messages]

    return publish_keyed
