"""When leases are to be renewed. No clock, no thread."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count

from rele.engine.native.consuming.delivery import Delivery

_GATHERED_AHEAD = 1.0
"""Leases that are due within so many seconds are renewed together."""

_FEW = 1000
"""So many renewals may be noted, whatever became of their messages."""


class Renewals:
    """The unsettled deliveries of one subscription, by the times of their next renewals."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Delivery]] = []
        self._numbers = count()

    def add(self, delivery: Delivery, at: float) -> None:
        """Renew the lease of ``delivery`` then, and not at the time that was noted before."""
        if delivery.settled is None:
            delivery.renew_at = at
            heappush(self._queue, (at, next(self._numbers), delivery))

    def take_due(self, now: float) -> list[Delivery]:
        """Remove and return what is to be renewed now; none if nothing is due yet."""
        due: list[Delivery] = []
        if not (self._queue and self._queue[0][0] <= now):
            return due
        while self._queue and self._queue[0][0] <= now + _GATHERED_AHEAD:
            entry = heappop(self._queue)
            if _is_valid(entry):
                due.append(entry[2])
        return due

    def tidy(self, unsettled: int) -> None:
        """Keep no settled messages until their leases would have been renewed.

        With long leases these would be far more than the ``unsettled`` ones.
        """
        if len(self._queue) > 2 * unsettled + _FEW:
            self._queue = [entry for entry in self._queue if _is_valid(entry)]
            heapify(self._queue)

    def next_due(self) -> float | None:
        """When the next lease is to be renewed."""
        return self._queue[0][0] if self._queue else None

    def __len__(self) -> int:
        return len(self._queue)


def _is_valid(entry: tuple[float, int, Delivery]) -> bool:
    at, _, delivery = entry
    return delivery.renew_at == at and delivery.settled is None and not delivery.is_lost
