"""Settled deliveries that wait for others, to share a request. No clock, no thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_requests import MAX_IDS

_GATHERED_FOR = 0.01
"""Seconds that settlements wait for others."""


class SettledQueue:
    """What is to be sent about settled deliveries, by kind and seconds."""

    def __init__(self) -> None:
        self._deliveries: dict[
            tuple[Literal["ack", "nack", "delay", "extend"], int], list[Delivery]
        ] = {}
        self.send_at: float | None = None
        """When it is to be sent; ``None`` if it is empty."""
        self.enough = MAX_IDS
        """How many settlements are sent at once, without waiting for others."""

    def add(self, deliveries: Sequence[Delivery], settled: Settled, now: float) -> None:
        """Take ``deliveries``, which were settled so."""
        key = settled.kind, settled.seconds
        queue = self._deliveries.setdefault(key, [])  # type: ignore[arg-type] # never a drop
        queue += deliveries
        if len(queue) >= self.enough:
            self.send_at = now
        elif self.send_at is None:
            self.send_at = now + _GATHERED_FOR

    def hurry(self, now: float) -> None:
        """Let it be sent now, if there is anything."""
        if self.send_at is not None:
            self.send_at = now

    def take(self) -> dict[tuple[Literal["ack", "nack", "delay", "extend"], int], list[Delivery]]:
        """Remove and return all of it."""
        self.send_at = None
        taken, self._deliveries = self._deliveries, {}
        return taken
