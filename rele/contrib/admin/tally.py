"""What a process has handled and what has failed, counted by its hooks until it is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rele.contrib.admin.failing import Raised, describe, traceback_of
from rele.contrib.admin.scale import STEPS, Durations, step_of
from rele.declaration.hooks import no_io
from rele.exceptions import Drop

KEPT_MINUTES = 60
"""How many minutes are kept that cannot be written, while the database is unavailable."""

KEPT_FAILURES = 100
"""How many different errors are kept until they are written; others are counted alone."""

Key = tuple[str, int]
"""A subscription's name, and a minute since the epoch."""


@dataclass(frozen=True)
class Count:
    """What was handled of one subscription in one minute, so far."""

    handled: int
    failed: int
    durations: Durations


@dataclass
class _Counting:
    handled: int = 0
    failed: int = 0
    written: int = 0
    """How many of the handled ones the database has."""
    durations: list[int] = field(default_factory=lambda: [0] * STEPS)

    def frozen(self) -> Count:
        durations = {step: count for step, count in enumerate(self.durations) if count}
        return Count(self.handled, self.failed, durations)


@dataclass(frozen=True)
class Failed:
    """Errors of one kind, since they were last written."""

    subscription: str
    raised: Raised
    traceback: str
    count: int
    first_seen: float
    """In seconds since the epoch."""
    last_seen: float


@dataclass(frozen=True)
class Unwritten:
    """What is to be written."""

    minutes: Mapping[Key, Count]
    """Each with all of its minute, also what was written before."""
    failures: tuple[Failed, ...]
    """Only what was not written before."""


class Tally:
    """Counts messages by its hooks, for any number of them in the same memory.

    Args:
        now: seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._minutes: dict[Key, _Counting] = {}
        self._failures: dict[str, Failed] = {}

    @no_io
    def post_process_message_success(
        self, subscription: Any, start_time: float, message: Any
    ) -> None:
        """The hook: count a message that was handled."""
        self._count(subscription.name, start_time, 0)

    @no_io
    def post_process_message_failure(
        self, subscription: Any, exception: BaseException, start_time: float, message: Any
    ) -> None:
        """The hook: count a message that failed, and why. One that is dropped has not failed."""
        name = subscription.name
        if isinstance(exception, Drop):
            self._count(name, start_time, 0)
            return
        ended_at = self._count(name, start_time, 1)
        raised = describe(name, exception)
        # Of an error that is known, the traceback is not printed again, which takes long.
        is_new = raised.fingerprint not in self._failures
        trace = traceback_of(exception) if is_new else ""
        with self._lock:
            known = self._failures.get(raised.fingerprint)
            if known is not None:
                self._failures[raised.fingerprint] = replace(
                    known, raised=raised, count=known.count + 1, last_seen=ended_at
                )
            elif len(self._failures) < KEPT_FAILURES:
                self._failures[raised.fingerprint] = Failed(
                    name, raised, trace, 1, ended_at, ended_at
                )

    def unwritten(self) -> Unwritten:
        """What the database does not have yet. What is older than an hour is forgotten."""
        oldest = _minute_of(self._now()) - KEPT_MINUTES
        with self._lock:
            for key in [key for key in self._minutes if key[1] < oldest]:
                del self._minutes[key]
            minutes = {
                key: counting.frozen()
                for key, counting in self._minutes.items()
                if counting.written < counting.handled
            }
            return Unwritten(minutes, tuple(self._failures.values()))

    def note_written(self, minutes: Mapping[Key, Count]) -> None:
        """Take note that the database has these."""
        with self._lock:
            # A minute later than it could be: clocks are set back by a little.
            over = _minute_of(self._now()) - 1
            for key, count in minutes.items():
                if (counting := self._minutes.get(key)) is None:
                    continue
                counting.written = count.handled
                if key[1] < over and counting.handled == count.handled:
                    del self._minutes[key]

    def note_failure_written(self, failed: Failed) -> None:
        """Take note that the database has counted these."""
        fingerprint = failed.raised.fingerprint
        with self._lock:
            known = self._failures[fingerprint]
            if known.count == failed.count:
                del self._failures[fingerprint]
            else:
                left = known.count - failed.count
                self._failures[fingerprint] = replace(known, count=left)

    def _count(self, name: str, start_time: float, failed: int) -> float:
        with self._lock:
            now = self._now()
            key = name, _minute_of(now)
            counting = self._minutes.get(key)
            if counting is None:
                counting = self._minutes[key] = _Counting()
            counting.handled += 1
            counting.failed += failed
            counting.durations[step_of(now - start_time)] += 1
        return now


def _minute_of(seconds: float) -> int:
    return int(seconds // 60)
