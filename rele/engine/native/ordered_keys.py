"""The order of messages with an ordering key, also if a handler fails. No clock, no thread."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rele.engine.native.delivery import Delivery


@dataclass
class OrderedKey:
    """The deliveries of one ordering key."""

    waiting: deque[Delivery] = field(default_factory=deque)
    running: Delivery | None = None
    failed_id: str | None = None
    """The id of the message that failed, until it is redelivered: the others are held behind it."""


class OrderedKeys:
    """Decides which delivery of a key is handled next.

    What is outstanding behind a failed message must not be handled before that message. Without a
    dead-letter policy it is nacked as well, and Pub/Sub redelivers all of it in order. With one, a
    nack would count as a delivery attempt of messages that did not fail, so they are held until the
    failed one is redelivered.

    Args:
        max_attempts: of the dead-letter policy; ``None`` without one.
    """

    def __init__(self, max_attempts: int | None = None) -> None:
        self._max_attempts = max_attempts
        self._keys: dict[str, OrderedKey] = {}

    def receive(self, delivery: Delivery) -> Delivery | None:
        """Take a delivery; return the one to handle now, if it or another can be."""
        key = self._keys.setdefault(delivery.key, OrderedKey())
        if delivery.message_id == key.failed_id:
            key.failed_id = None
            key.running = delivery
            return delivery
        self._wait(key, delivery)
        return self._next(delivery.key)

    def succeed(self, delivery: Delivery) -> Delivery | None:
        """Note that ``delivery`` was acked; return the next one to handle."""
        key = self._keys.get(delivery.key)
        if key is None or key.running is not delivery:
            return None
        key.running = None
        return self._next(delivery.key)

    def fail(self, delivery: Delivery) -> tuple[list[Delivery], Delivery | None]:
        """Note that ``delivery`` was not acked; return what to nack, and what to handle next."""
        key = self._keys.get(delivery.key)
        if key is None or key.running is not delivery:
            return [], None
        key.running = None
        if self._max_attempts is None:
            del self._keys[delivery.key]
            return list(key.waiting), None
        if (delivery.attempt or 0) >= self._max_attempts:  # it goes to the dead-letter topic
            return [], self._next(delivery.key)
        key.failed_id = delivery.message_id
        return [], None

    def lose(self, delivery: Delivery) -> None:
        """Forget a delivery that waits, since its lease was lost."""
        key = self._keys.get(delivery.key)
        if key is not None and delivery in key.waiting:
            key.waiting.remove(delivery)
            self._forget_if_empty(delivery.key)

    def take_held(self) -> list[Delivery]:
        """Remove all that wait behind failed messages, the newest last, and return it."""
        held: list[Delivery] = []
        for name, key in list(self._keys.items()):
            if key.failed_id is not None:
                held += key.waiting
                key.waiting.clear()
                key.failed_id = None
                self._forget_if_empty(name)
        return held

    @property
    def held(self) -> int:
        """How many deliveries are held behind failed messages."""
        return sum(len(key.waiting) for key in self._keys.values() if key.failed_id is not None)

    def _wait(self, key: OrderedKey, delivery: Delivery) -> None:
        """Append a delivery, or let it replace an older one of the same message."""
        for number, waiting in enumerate(key.waiting):
            if waiting.message_id == delivery.message_id:
                waiting.is_lost = True
                key.waiting[number] = delivery
                return
        key.waiting.append(delivery)

    def _next(self, name: str) -> Delivery | None:
        key = self._keys[name]
        if key.running is not None or key.failed_id is not None:
            return None
        while key.waiting:
            delivery = key.waiting.popleft()
            if not delivery.is_lost:
                key.running = delivery
                return delivery
        self._forget_if_empty(name)
        return None

    def _forget_if_empty(self, name: str) -> None:
        key = self._keys[name]
        if not key.waiting and key.running is None and key.failed_id is None:
            del self._keys[name]
