"""Durations, counted on a scale of fixed steps: O(1) memory for any number of messages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

_SHORTEST = 0.0001
_FACTOR = 1.25
_BOUNDS = tuple(_SHORTEST * _FACTOR**step for step in range(80))
"""Seconds, from 0.1 ms to more than an hour; a percentile is right within 12 %."""

STEPS = len(_BOUNDS) + 1

Durations = Mapping[int, int]
"""How many messages took as long as each step says; steps without any are left out."""


def step_of(seconds: float) -> int:
    """The step that a duration belongs to."""
    return bisect_right(_BOUNDS, seconds)


def together(counts: Iterable[Durations]) -> dict[int, int]:
    """All of ``counts`` as one."""
    total: dict[int, int] = {}
    for each in counts:
        for step, count in each.items():
            total[step] = total.get(step, 0) + count
    return total


def percentile(durations: Durations, share: float) -> float | None:
    """The seconds within which that share of the messages was handled.

    Args:
        durations: of the messages.
        share: from 0 to 1.

    Returns:
        ``None`` if there are no messages.
    """
    rank = share * sum(durations.values())
    passed = 0
    for step in sorted(durations):
        passed += durations[step]
        if passed >= rank:
            return _middle(step)
    return None


def _middle(step: int) -> float:
    lowest = _BOUNDS[max(step - 1, 0)]
    return lowest * _FACTOR**0.5 if 0 < step < len(_BOUNDS) else lowest
