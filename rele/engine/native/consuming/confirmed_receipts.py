"""The order of messages whose receipt Pub/Sub confirms. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from rele.engine.native.consuming.delivery import Delivery


class ConfirmedReceipts:
    """With exactly-once delivery, a message may be handled once its receipt is confirmed.

    The confirmations of several requests arrive in any order. A message with an ordering key waits
    for those that were received before it. One of these whose lease is lost keeps its place, too:
    no handler begins with it, and so what follows it waits for its redelivery.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Delivery]] = {}

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Note deliveries in the order in which they were received."""
        for delivery in deliveries:
            if delivery.key:
                self._waiting.setdefault(delivery.key, deque()).append(delivery)

    def in_order(self, confirmed: Iterable[Delivery]) -> Iterator[Delivery]:
        """What has its turn now that the receipts of ``confirmed`` are."""
        for delivery in confirmed:
            if delivery.key:
                yield from self.next_of(delivery.key)
            else:
                yield delivery

    def next_of(self, key: str) -> Iterator[Delivery]:
        """What has its turn of a key; a message whose lease is lost is for no handler."""
        waiting = self._waiting.get(key)
        while waiting and (_is_over(waiting[0]) or waiting[0].is_confirmed):
            yield waiting.popleft()
        if waiting is not None and not waiting:
            self._waiting.pop(key, None)


def _is_over(delivery: Delivery) -> bool:
    return delivery.is_lost or delivery.settled is not None
