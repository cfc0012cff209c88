"""What counts against the limit of a stream although nobody handles it. No clock, no thread."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from rele.engine.native.consuming.delivery import Charge, Delivery


class DelayedCharges:
    """Messages that were delayed or dropped: Pub/Sub counts them until they are redelivered."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, int, Charge]] = []
        self._numbers = count()

    def add(self, until: float, delivery: Delivery) -> None:
        """Count ``delivery`` until then."""
        if (charge := delivery.charge) is not None:
            charge.leased += 1
            charge.delayed += 1
            heappush(self._ends, (until, next(self._numbers), charge))

    def end_due(self, now: float) -> None:
        """Count nothing any more that is redelivered now."""
        while self._ends and self._ends[0][0] <= now:
            charge = heappop(self._ends)[2]
            charge.leased -= 1
            charge.delayed -= 1
