"""A publisher's core in virtual time: what it sends is answered as a test says."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.publish_core import Outcome, PublishCore
from rele.engine.native.publishing.retrying import Failure, Kind, PublishTimes
from rele.engine.outage_reports import Line
from rele.engine.publisher_options import PublisherOptions


class TimedOutError(Exception):
    """The error of a message that was not accepted in time."""


def timed_out(topic: str, last_error: BaseException | None) -> BaseException:
    return TimedOutError(topic, last_error)


def failure(kind: Kind = Kind.PASSING, text: str = "unavailable") -> Failure:
    return Failure(kind, RuntimeError(text))


class VirtualPublisher:
    """Feeds the core, and keeps what it has decided.

    Args:
        options: of the publisher.
        times: of the core.
        jitter: the random number of each pause; by default really random, by ``seed``.
    """

    def __init__(
        self,
        options: PublisherOptions | None = None,
        times: PublishTimes | None = None,
        jitter: Callable[[], float] | None = None,
        seed: int = 0,
    ) -> None:
        self.options = options or PublisherOptions()
        self.now = 1000.0
        self.core = PublishCore(
            self.options, "pubsub:443", timed_out, times, jitter or random.Random(seed).random
        )
        self.under_way: list[Request] = []
        self.sent: list[Request] = []
        self.unreported: list[Outcome] = []
        self.outcomes: dict[Outgoing, str | BaseException] = {}
        self.lines: list[Line] = []

    def publish(
        self, topic: str = "orders", key: str = "", size: int = 10, *, urgent: bool = False
    ) -> Outgoing:
        """Hand a message over, and let the core act."""
        message = self.hand_over(topic, key, size, urgent=urgent)
        self.act()
        return message

    def hand_over(
        self, topic: str = "orders", key: str = "", size: int = 10, *, urgent: bool = False
    ) -> Outgoing:
        message = Outgoing(topic, key, b"x" * size, self.now, urgent, None, _ignore)
        self.core.add(message, self.now)
        return message

    def accept(self, request: Request | None = None) -> None:
        """Answer a request (the oldest under way) by message ids."""
        request = self._answered(request)
        self.core.note_accepted(request, [f"id-{id(m)}" for m in request.messages], self.now)
        self.act()

    def fail(self, request: Request | None = None, failure: Failure | None = None) -> None:
        """Answer a request (the oldest under way) by an error."""
        request = self._answered(request)
        self.core.note_failure(request, failure or _unavailable(), self.now)
        self.act()

    def advance(self, seconds: float) -> None:
        """Let time pass; the core acts whenever it wants to."""
        until = self.now + seconds
        while (due := self.core.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self.act()
            if self.core.next_due() == due:  # it could do nothing more at that time
                break
        self.now = until
        self.act()

    def act(self) -> None:
        actions = self.core.act(self.now)
        self.under_way += actions.requests
        self.sent += actions.requests
        self.unreported += actions.outcomes
        self.lines += actions.lines

    def report(self) -> None:
        """Report the oldest outcome that is not reported yet, as the reporter does."""
        outcome = self.unreported.pop(0)
        for number, message in enumerate(outcome.messages):
            assert message not in self.outcomes, "a message has two outcomes"
            result = outcome.error if outcome.ids is None else outcome.ids[number]
            assert result is not None
            self.outcomes[message] = result
        if outcome.lane is not None:
            self.core.note_reported(outcome.lane, self.now)
        self.act()

    def report_all(self) -> None:
        while self.unreported:
            self.report()

    def sizes(self) -> list[int]:
        """How many messages each request had."""
        return [len(request.messages) for request in self.sent]

    def _answered(self, request: Request | None) -> Request:
        request = request or self.under_way[0]
        self.under_way.remove(request)
        return request


def _unavailable() -> Failure:
    return failure(Kind.PASSING)


def _ignore(future: Any) -> None:
    """The report of a message that nobody is interested in."""
