"""The order of messages with an ordering key, also if a handler fails. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from rele.engine.native.delivery import Delivery

LONGEST_BACKOFF = 600.0
"""Seconds of the longest backoff that a retry policy can have."""

PATIENCE = 60.0
"""Seconds for which a message may be late that is to be redelivered.

After that another worker must have got it, and what is held behind it is nacked.
"""


@dataclass
class OrderedKey:
    """The deliveries of one ordering key."""

    waiting: deque[Delivery] = field(default_factory=deque)
    running: Delivery | None = None
    failed_id: str | None = None
    """The id of the message that failed, until it is redelivered: the others are held behind it."""
    held_until: float = 0.0


@dataclass(frozen=True)
class Step:
    """What happens to the deliveries of a key now."""

    nack: Sequence[Delivery] = ()
    """What is to be nacked."""
    next: Delivery | None = None
    """What is to be handled, if anything."""
    replaced: Delivery | None = None
    """An older delivery of a message that was redelivered: its lease has ended."""


class OrderedKeys:
    """Decides which delivery of a key is handled next.

    What is outstanding behind a failed message must not be handled before that message. Without a
    dead-letter policy it is nacked as well, and Pub/Sub redelivers all of it in order. With one, a
    nack would count as a delivery attempt of messages that did not fail, so they are held until the
    failed one is redelivered. They are held as well behind a message that is delayed, since Pub/Sub
    would redeliver them before it.

    Args:
        max_attempts: of the dead-letter policy; ``None`` without one.
    """

    def __init__(self, max_attempts: int | None = None) -> None:
        self._max_attempts = max_attempts
        self._keys: dict[str, OrderedKey] = {}
        self._failed: dict[str, OrderedKey] = {}
        """Those whose messages are held."""

    def receive(self, delivery: Delivery) -> Step:
        """Take a delivery that was received."""
        key = self._keys.setdefault(delivery.key, OrderedKey())
        if delivery.message_id == key.failed_id:
            self._end_hold(delivery.key, key)
            key.running = delivery
            return Step(next=delivery)
        replaced = _wait(key, delivery)
        return Step(next=self._next(delivery.key, key).next, replaced=replaced)

    def succeed(self, delivery: Delivery) -> Step:
        """Note that ``delivery`` was acked."""
        key = self._keys.get(delivery.key)
        if key is None or key.running is not delivery:
            return Step()
        key.running = None
        return self._next(delivery.key, key)

    def fail(self, delivery: Delivery, now: float, delay: float | None = None) -> Step:
        """Note that ``delivery`` was not acked, or that its lease was lost.

        Args:
            delivery: the one that failed.
            now: the time.
            delay: the seconds until its redelivery that its handler has asked for, if it has.
        """
        key = self._keys.get(delivery.key)
        if key is None or key.running is not delivery:
            return Step()
        key.running = None
        if self._max_attempts is None and delay is None:
            del self._keys[delivery.key]
            return Step(nack=list(key.waiting))
        if self._max_attempts is not None and (delivery.attempt or 0) >= self._max_attempts:
            return self._next(delivery.key, key)  # the failed one goes to the dead-letter topic
        key.failed_id = delivery.message_id
        key.held_until = now + (LONGEST_BACKOFF if delay is None else delay) + PATIENCE
        self._failed[delivery.key] = key
        return Step()

    def shed(self, most: int) -> list[Delivery]:
        """Remove the newest deliveries that are held, until ``most`` remain; return them."""
        shed: list[Delivery] = []
        excess = self.held - most
        for key in self._failed.values():
            while excess > 0 and key.waiting:
                shed.append(key.waiting.pop())
                excess -= 1
        return shed

    def expire(self, now: float) -> list[Delivery]:
        """Remove the deliveries that were held for the longest time; return them."""
        expired: list[Delivery] = []
        for name, key in list(self._failed.items()):
            if key.held_until <= now:
                expired += key.waiting
                del self._failed[name], self._keys[name]
        return expired

    def next_due(self) -> float | None:
        """When to call :meth:`expire`; ``None``: not before something fails."""
        return min((key.held_until for key in self._failed.values()), default=None)

    @property
    def held(self) -> int:
        """How many deliveries are held behind failed messages."""
        return sum(len(key.waiting) for key in self._failed.values())

    def _next(self, name: str, key: OrderedKey) -> Step:
        if key.running is None and key.failed_id is None:
            if key.waiting:
                key.running = key.waiting.popleft()
                return Step(next=key.running)
            del self._keys[name]
        return Step()

    def _end_hold(self, name: str, key: OrderedKey) -> None:
        key.failed_id = None
        del self._failed[name]


def _wait(key: OrderedKey, delivery: Delivery) -> Delivery | None:
    """Append a delivery, or let it replace an older one of the same message, which is returned."""
    if key.running is not None and key.running.message_id == delivery.message_id:
        # The lease of the one that runs was lost. What followed it is redelivered as well.
        key.waiting.appendleft(delivery)
        return None
    for number, waiting in enumerate(key.waiting):
        if waiting.message_id == delivery.message_id:
            key.waiting[number] = delivery
            return waiting
    key.waiting.append(delivery)
    return None
