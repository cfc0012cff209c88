"""Whether an event loop runs, as other threads see it."""

from __future__ import annotations

from collections.abc import Callable

LATE = 60.0
"""Seconds after which a loop that has not answered does not run."""


class Pulse:
    """Asks a loop, each time that somebody wants to know, and does not wait for the answer.

    Args:
        call: lets the loop call a function soon.
        now: the time in seconds.
    """

    def __init__(
        self, call: Callable[[Callable[[], None]], None], now: Callable[[], float]
    ) -> None:
        self._call = call
        self._now = now
        self._asked_at: float | None = None
        """When the loop was asked that has not answered yet."""

    def is_beating(self) -> bool:
        """From any thread: whether the loop has answered what it was asked before, or may yet."""
        now, asked_at = self._now(), self._asked_at
        if asked_at is not None:
            return now - asked_at < LATE
        self._asked_at = now
        self._call(self._answer)
        return True

    def _answer(self) -> None:
        self._asked_at = None
