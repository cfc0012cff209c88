"""Where a look begins, so that rows that were committed late are found. No clock, no database.

Ids are given before commits, so a smaller id may become visible after a larger one was read. So
looks begin before the largest id that was read: a little before it each time, further back from
time to time, and now and then at the very beginning.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rele.contrib.outbox.relaying.rows import Page

SHARE = 20
"""After a look far back the next one waits for so many times its duration: a twentieth of all."""

_MOST_SHARE = 100
"""The same after several looks that have found nothing. It doubles each time."""

_HURRIED_SHARE = 4
"""The same, when something is known to be found."""

_STEP = 0.02
"""Seconds between two notes of how far was read."""

_LONGEST = 5.0


@dataclass
class _LookBack:
    """How far to look back, and how often."""

    seconds: float
    pause: float
    """The least number of seconds between two."""
    longest: float
    """The most to which that number grows because nothing is found."""
    share: float = SHARE
    """The least number of times its duration that the next one waits."""
    due_at: float = float("-inf")
    _grown: float = SHARE
    _soonest: float = float("-inf")

    def note(self, now: float, took: float, *, has_found: bool = True) -> None:
        """Note that one has ended now, and whether it has found what was committed late."""
        self._grown = SHARE if has_found else min(2 * self._grown, _MOST_SHARE)
        rest = max(self.share * took, min(self._grown * took, self.longest))
        self.due_at = now + max(self.pause, rest)
        self._soonest = now + _HURRIED_SHARE * took

    def hurry(self) -> None:
        """Let the next one come soon."""
        self.due_at = min(self.due_at, self._soonest)


class Cursor:
    """How far the waiting rows were read."""

    def __init__(self) -> None:
        self.read_to = 0
        """The largest id before which everything was read that was visible then."""
        self._history: deque[tuple[float, int]] = deque()
        # From the furthest to the nearest.
        self._backs = [
            _LookBack(float("inf"), pause=1.0, longest=20.0),
            _LookBack(_LONGEST, pause=0.1, longest=_LONGEST / 2),
            _LookBack(0.25, pause=0.0, longest=0.0, share=0.0),
        ]
        self._chosen = len(self._backs)
        self._is_behind = True

    def restart(self) -> None:
        """Read everything again."""
        self.read_to = 0
        self._history.clear()
        self._is_behind = True

    def start(self, after: int, now: float) -> None:
        """Read what comes after an id; what is before it was read just now."""
        self.read_to = after
        self._history = deque([(float("-inf"), after)])
        self._is_behind = True
        for back in self._backs:
            back.note(now, 0.0)

    def look_all(self) -> None:
        """Let a look begin at the beginning soon."""
        self._backs[0].hurry()

    def begin(self, now: float) -> int:
        """The id after which to look now."""
        # While there is much to read, it does not look back each time.
        backs = self._backs[:2] if self._is_behind else self._backs
        due = (number for number, back in enumerate(backs) if back.due_at <= now)
        self._chosen = next(due, len(self._backs))
        if self._chosen == len(self._backs):
            return self.read_to
        if self._chosen == 0:
            return 0
        return min(self._at(now - self._backs[self._chosen].seconds), self.read_to)

    def note(self, page: Page, now: float, took: float) -> None:
        """Note what the look has found.

        Args:
            page: its rows are those that were not known.
            now: when it began.
            took: its duration in seconds.
        """
        has_found = any(row.id <= self.read_to for row in page.rows)
        for back in self._backs[self._chosen :]:
            back.note(now + took, took, has_found=has_found)
        self._is_behind = page.is_full
        self.read_to = max(self.read_to, page.last)
        if not self._history or now - self._history[-1][0] >= _STEP:
            self._history.append((now, self.read_to))
        while len(self._history) > 1 and self._history[1][0] <= now - _LONGEST:
            self._history.popleft()

    def _at(self, time: float) -> int:
        """How far was read at that time."""
        found = 0
        for at, read_to in self._history:
            if at > time:
                break
            found = read_to
        return found
