"""Reporting outcomes: futures, hooks and callbacks, in a thread of their own."""

from __future__ import annotations

import _thread
import logging
import queue
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from rele.engine.native.publishing.future import reporting
from rele.engine.native.publishing.outgoing import Outgoing
from rele.engine.native.publishing.publish_core import Outcome
from rele.engine.native.publishing.roles import Role
from rele.runtime.queues import new_queue

logger = logging.getLogger(__name__)

_MOST_NESTED = 10
"""How many hooks may wait within each other; one more does not wait for the hooks of others."""

_size = attrgetter("size")


@dataclass(frozen=True)
class Reported:
    """An outcome that was reported: its messages are no longer outstanding."""

    messages: int
    size: int


class Reporter:
    """Settles the futures of messages and calls their reports.

    The reports have a thread of their own, because hooks and callbacks may take long, and sending
    goes on.

    Args:
        when_reported: called when the messages of an outcome are reported.
    """

    def __init__(self, when_reported: Callable[[Reported], object]) -> None:
        self._when_reported = when_reported
        self._outcomes: queue.SimpleQueue[Outcome | None] = new_queue()
        self._nested = 0
        self._unreported: list[Iterator[Outgoing]] = []
        """For each outcome that is being reported, what is left of it: a hook of one that waits
        may let others be reported within it."""
        self.role = Role("rele-publisher-reports", self._run, self._has_outcomes)

    def put(self, outcome: Outcome) -> float:
        """Settle the futures now, and report ``outcome`` soon; does not wait.

        A blocking publish sees its outcome in the future, also while a hook of another message
        waits for a lock that the blocking publish is called under.

        Returns:
            when the first future was done, by ``time.monotonic()``.
        """
        at = time.monotonic()
        for number, message in enumerate(outcome.messages):
            result = None if outcome.ids is None else outcome.ids[number]
            message.future.settle(result, outcome.error)
        self._outcomes.put(outcome)
        return at

    def stop(self) -> None:
        """End the thread when it has reported what waits."""
        self._outcomes.put(None)

    def report_waiting(self) -> None:
        """Report here what waits; the caller has the role."""
        while (outcome := self._next(0)) is not None:
            self._report(outcome)

    def report_until(self, is_over: Callable[[], bool], deadline: float) -> None:
        """Report in the reporter's own thread, from within a hook or a callback that waits.

        Args:
            is_over: whether to end.
            deadline: when to end at the latest, by ``time.monotonic()``.
        """
        if self._nested == _MOST_NESTED:
            return
        self._nested += 1
        try:
            for messages in self._unreported:
                _conclude_all(messages)
            while not is_over() and (left := deadline - time.monotonic()) > 0:
                if (outcome := self._next(min(left, 0.05))) is not None:
                    self._report(outcome)
        finally:
            self._nested -= 1

    def _run(self) -> None:
        while (outcome := self._outcomes.get()) is not None:
            self._report(outcome)
            del outcome  # or its messages stay in memory until the next one

    def _has_outcomes(self) -> bool:
        return not self._outcomes.empty()

    def _next(self, seconds: float) -> Outcome | None:
        try:
            return self._outcomes.get(seconds > 0, seconds or None)
        except queue.Empty:
            return None

    def _report(self, outcome: Outcome) -> None:
        thread = _thread.get_ident()
        is_inner = thread in reporting
        reporting.add(thread)
        messages = iter(outcome.messages)
        self._unreported.append(messages)
        try:
            _conclude_all(messages)
        finally:
            self._unreported.remove(messages)
            if not is_inner:
                reporting.discard(thread)
        self._when_reported(Reported(len(outcome.messages), sum(map(_size, outcome.messages))))


def _conclude_all(messages: Iterable[Outgoing]) -> None:
    for message in messages:
        _conclude(message)


def _conclude(message: Outgoing) -> None:
    """Run the hooks of a message whose future is done, then wake the threads that wait for it."""
    try:
        message.report(message.future)
    except BaseException:
        logger.exception("The outcome of a message for %s could not be reported.", message.topic)
    try:
        message.future.conclude()
    except BaseException:
        logger.exception("A callback of a message for %s failed.", message.topic)
