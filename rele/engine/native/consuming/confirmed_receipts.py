"""The order of messages whose receipt Pub/Sub confirms. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from rele.engine.native.consuming.delivery import Delivery


class ConfirmedReceipts:
    """With exactly-once delivery, a message may be handled once its receipt is confirmed.

    The confirmations of several requests arrive in any order. A message with an ordering key waits
    for those that were received before it. If the lease of one of these is lost, Pub/Sub redelivers
    all that follow it as well.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Delivery]] = {}
        self._stale: list[Delivery] = []

    def expect(self, deliveries: Sequence[Delivery]) -> None:
        """Note deliveries in the order in which they were received."""
        for key in {delivery.key for delivery in deliveries if delivery.key}:
            waiting = self._waiting.get(key)
            if waiting and _is_over(waiting[0]):
                self._stale += waiting
                waiting.clear()
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

    def take_stale(self) -> list[Delivery]:
        """Remove and return what is not to be handled, since it follows a lost message."""
        stale, self._stale = self._stale, []
        return stale

    def _next_of(self, key: str) -> Iterator[Delivery]:
        waiting = self._waiting.pop(key, None)
        while waiting and (_is_over(waiting[0]) or waiting[0].is_confirmed):
            delivery = waiting.popleft()
            if not _is_over(delivery):
                yield delivery
                continue
            # What follows is redelivered as well, perhaps together with this one.
            copies = (each for each in waiting if each.message_id == delivery.message_id)
            copy = next(copies, None)
            while waiting and (copy is None or waiting[0].received_at < copy.received_at):
                self._stale.append(waiting.popleft())
        if waiting:
            self._waiting[key] = waiting


def _is_over(delivery: Delivery) -> bool:
    return delivery.is_lost or delivery.settled is not None
