"""Virtual time: what is due is called in order, in one thread; a seed decides between equals."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

MOMENT = 0.01
MOST_IN_A_MOMENT = 5_000
"""Calls in so many seconds, after which something is said to go round in a circle."""

MOST_IN_ALL = 400_000
"""Calls, after which something is said to cost more than the messages are worth."""

TICK = 1e-6
"""Seconds by which a clock advances at least between two calls of a timer."""


class EndlessLoopError(AssertionError):
    """What is called has something called again, too soon or too often."""


class Timer:
    """A call that is due at a time."""

    __slots__ = ("arguments", "at", "function")

    def __init__(self, at: float, function: Callable[..., object], arguments: Any) -> None:
        self.at = at
        self.function: Callable[..., object] | None = function
        self.arguments = arguments

    def cancel(self) -> None:
        """Do not call it."""
        self.function = None


class Clockwork:
    """Calls functions at their times.

    Args:
        random: decides about the order of what is due at the same time.
    """

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self._random = random
        self._heap: list[tuple[float, float, int, Timer]] = []
        self._numbers = count()
        self._calls = 0

    def at(self, at: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call ``function`` at a time."""
        timer = Timer(max(at, self.now), function, arguments)
        heappush(self._heap, (timer.at, self._random.random(), next(self._numbers), timer))
        return timer

    def after(self, seconds: float, function: Callable[..., object], *arguments: Any) -> Timer:
        """Call ``function`` after some seconds."""
        return self.at(self.now + seconds, function, *arguments)

    def run(self, until: float, is_done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until then, or until ``is_done``.

        Raises:
            EndlessLoopError: time stands still.
        """
        heap = self._heap
        calls, began = 0, self.now
        while heap and heap[0][0] <= until and not is_done():
            timer = heappop(heap)[3]
            if timer.function is None:
                continue
            calls += 1
            self._calls += 1
            if self._calls > MOST_IN_ALL:
                raise EndlessLoopError(f"Too much has happened by {self.now:.3f} s.")
            if timer.at - began > MOMENT:
                calls, began = 0, timer.at
            elif calls > MOST_IN_A_MOMENT:
                raise EndlessLoopError(f"Time stands still at {self.now:.3f} s.")
            self.now = max(self.now, timer.at)
            timer.function(*timer.arguments)
        if not is_done():
            self.now = max(self.now, until)
