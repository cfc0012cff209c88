"""How long leases last, and when they are renewed. No clock, no thread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

MIN_SECONDS = 10
MIN_SECONDS_EXACTLY_ONCE = 60
"""The shortest lease that is asked for; with exactly-once delivery a lost lease costs more."""

LONGEST_WAIT_OF_RECEIPTS = 0.5
SHORTEST_WAIT_OF_RECEIPTS = 0.05
"""Seconds: small parts of the shortest lease."""

_REMEMBERED = 1000
_PERCENTILE = 0.99
_RENEWED_BETWEEN = (0.6, 0.8)
"""The parts of a lease after which it is renewed, at random: workers that began together do not
renew together."""


class LeaseTimes:
    """Learns from the handlers of a subscription how long a lease has to be.

    If a worker dies, its messages are redelivered when their leases have ended. So a lease is as
    long as nearly all handlers need, and renewed for the others.

    Args:
        longest: seconds; no lease is longer.
        is_exactly_once: whether the subscription has exactly-once delivery.
        random: a number from 0 to 1.
    """

    def __init__(self, longest: int, *, is_exactly_once: bool, random: Callable[[], float]) -> None:
        shortest = MIN_SECONDS_EXACTLY_ONCE if is_exactly_once else MIN_SECONDS
        self._longest = max(longest, MIN_SECONDS)
        self._shortest = min(shortest, self._longest)
        self._random = random
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)
        self._delays_receipts = not is_exactly_once
        self.receipts_after = 0.0
        """Seconds after which what was received is extended for the first time.

        Where nearly all messages are settled sooner than that, it spares their extensions. Until
        then they have the lease that Pub/Sub gives them.
        """
        self._seconds = self._shortest

    def note_handled(self, seconds: float) -> None:
        """Note for how long a message was outstanding until it was settled."""
        self._durations.append(seconds)

    def learn(self) -> None:
        """Work out the length of leases from what was noted; not needed for each message."""
        if not self._durations:
            return
        ordered = sorted(self._durations)
        needed = ordered[min(int(len(ordered) * _PERCENTILE), len(ordered) - 1)]
        waits = max(2 * needed, SHORTEST_WAIT_OF_RECEIPTS)
        can_wait = self._delays_receipts and waits <= LONGEST_WAIT_OF_RECEIPTS
        self.receipts_after = waits if can_wait else 0.0
        self._seconds = min(max(math.ceil(needed), self._shortest), self._longest)

    @property
    def seconds(self) -> int:
        """How long the next leases last."""
        return self._seconds

    def renewed_after(self, seconds: float) -> float:
        """After how many seconds a lease of ``seconds`` is renewed."""
        earliest, latest = _RENEWED_BETWEEN
        return seconds * (earliest + (latest - earliest) * self._random())
