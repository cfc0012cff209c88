"""A clock that moves when a test says so: an hour of an outage takes a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class VirtualTime:
    """A :class:`rele.engine.alarm.Timer` without a thread.

    What becomes due is called in the thread that advances the time, in order.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._due: dict[Callable[[], object], float] = {}

    def start(self) -> None:
        """Nothing is to be started."""

    def stop(self) -> None:
        with self._lock:
            self._due.clear()

    is_alive = True

    def now(self) -> float:
        return self._now

    def call_at(self, at: float, function: Callable[[], object]) -> None:
        with self._lock:
            self._due[function] = at

    def cancel(self, function: Callable[[], object]) -> None:
        with self._lock:
            self._due.pop(function, None)

    def wait(self, future: Future[Any], seconds: float) -> None:
        """A future that is not done now is not done before the time has passed."""
        if not future.done():
            self.advance(seconds)

    @property
    def next_due(self) -> float | None:
        """In how many seconds something is due; ``None`` where nothing is."""
        with self._lock:
            return min(self._due.values()) - self._now if self._due else None

    def advance(self, seconds: float) -> None:
        """Let time pass, and call what becomes due meanwhile."""
        end = self._now + seconds
        while (following := self._pop_due(end)) is not None:
            following()
        self._now = max(self._now, end)

    def _pop_due(self, end: float) -> Callable[[], object] | None:
        with self._lock:
            function = min(self._due, key=self._due.__getitem__, default=None)
            if function is None or self._due[function] > end:
                return None
            self._now = max(self._now, self._due.pop(function))
            return function
