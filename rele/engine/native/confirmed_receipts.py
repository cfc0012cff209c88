"""The order of messages whose receipt Pub/Sub confirms. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from rele.engine.native.delivery import Delivery


class ConfirmedReceipts:
    """With exactly-once delivery, a message may be handled once its receipt is confirmed.

    The confirmations of several requests arrive in any order. A message with an ordering key waits
    for those that were received before it.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Delivery]] = {}

    def expect(self, deliveries: Iterable[Delivery]) -> None:
        """Note deliveries in the order in which they were received."""
        for delivery in deliveries:
            if delivery.key:
                self._waiting.setdefault(delivery.key, deque()).append(delivery)

    def in_order(self, confirmed: Iterable[Delivery]) -> Iterator[Delivery]:
        """What can be handled now that the receipts of ``confirmed`` are."""
        for delivery in confirmed:
            if delivery.key:
                yield from self._next_of(delivery.key)
            else:
                yield delivery

    def _next_of(self, key: str) -> Iterator[Delivery]:
        waiting = self._waiting.pop(key, None)
        while waiting and (_is_over(waiting[0]) or waiting[0].is_confirmed):
            delivery = waiting.popleft()
            if not _is_over(delivery):
                yield delivery
        if waiting:
            self._waiting[key] = waiting


def _is_over(delivery: Delivery) -> bool:
    return delivery.is_lost or delivery.settled is not None
