"""Whether an event loop still answers. No clock and no thread."""

from __future__ import annotations

from typing import Literal

EVERY = 0.5
"""Seconds between two looks, while a handler runs."""

BLOCKED = 1.0
"""Seconds without an answer, after which a loop is blocked."""


class AnswerWatch:
    """Asks an event loop now and then for an answer, which it gives between two steps of its tasks.

    All times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._looked_at: float | None = None
        self._is_reported = False

    def look(self, now: float) -> Literal["ask", "report"] | None:
        """Look at the loop: what is to be done?

        Returns:
            ``"ask"``: ask the loop to call :meth:`answer`; ``"report"``: it is blocked.
        """
        was_late = self._looked_at is not None and now - self._looked_at > 2 * EVERY
        self._looked_at = now
        if self._asked_at is None:
            self._asked_at = now
            return "ask"
        if was_late:  # the whole interpreter was blocked, or the machine asleep: look again
            return None
        if now - self._asked_at > BLOCKED and not self._is_reported:
            self._is_reported = True
            return "report"
        return None

    def answer(self, now: float) -> float | None:
        """Note that the loop runs.

        Returns:
            for how many seconds it was blocked, if that was reported.
        """
        asked_at, self._asked_at = self._asked_at, None
        was_reported, self._is_reported = self._is_reported, False
        return now - asked_at if was_reported and asked_at is not None else None

    def rest(self) -> None:
        """Note that nobody looks for a while."""
        self._looked_at = None

    def seconds(self, now: float) -> float:
        """For how long the loop has not answered."""
        return 0.0 if self._asked_at is None else now - self._asked_at
