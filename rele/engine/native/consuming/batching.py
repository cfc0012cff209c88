"""Gathering deliveries for a handler of batches. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rele.engine.native.consuming.delivery import Delivery


@dataclass
class _BusyKey:
    """A key of a batch that is being handled."""

    batch: list[Delivery]
    waiting: deque[Delivery] = field(default_factory=deque)
    """What waits for the end of the batch."""


class Batching:
    """The deliveries of one subscription that can be handled, and which of them form a batch.

    A batch is complete when it has ``max_messages``, or when its oldest message was received
    ``max_wait`` ago. Several messages of an ordering key may be in one batch, in their order, but
    two batches that are handled at the same time have no key in common.

    All times are seconds of one clock.

    Args:
        max_messages: how many messages a batch has at most.
        max_wait: for how many seconds a message may wait for others.
    """

    def __init__(self, max_messages: int, max_wait: float) -> None:
        self._max_messages = max_messages
        self._max_wait = max_wait
        self._ready: deque[Delivery] = deque()
        self._oldest: float | None = None
        """When the oldest of these was received."""
        self._busy: dict[str, _BusyKey] = {}
        """The keys of batches that are being handled."""

    def add(self, delivery: Delivery) -> None:
        """Take a delivery that can be handled."""
        busy = self._busy.get(delivery.key) if delivery.key else None
        if busy is not None:
            busy.waiting.append(delivery)
            return
        self._ready.append(delivery)
        if self._oldest is None or delivery.received_at < self._oldest:
            self._oldest = delivery.received_at

    def take_due(self, now: float) -> list[Delivery]:
        """Remove and return the deliveries of a batch that is complete; empty if there is none.

        The caller calls :meth:`release` at the end of the batch.
        """
        due = self.next_due()
        if due is None or due > now:
            return []
        number = min(len(self._ready), self._max_messages)
        batch = [self._ready.popleft() for _ in range(number)]
        for delivery in batch:
            if delivery.key:
                self._busy[delivery.key] = _BusyKey(batch)
        if self._busy and self._ready:
            self._part_from_batches()
        self._find_oldest()
        return batch

    def release(self, batch: list[Delivery], is_wanted: Callable[[Delivery], bool]) -> None:
        """Note that ``batch`` has ended: what waited for it can be handled.

        Args:
            batch: what :meth:`take_due` has returned.
            is_wanted: whether a delivery that waited is still to be handled.
        """
        self._release({delivery.key for delivery in batch}, batch, is_wanted)

    def abandon(self, delivery: Delivery, is_wanted: Callable[[Delivery], bool]) -> None:
        """Let a key wait no more for its batch, which may never end.

        Args:
            delivery: of the batch, or a newer one of a message of the batch.
            is_wanted: as for :meth:`release`.
        """
        busy = self._busy.get(delivery.key)
        if busy is not None and delivery.message_id in {each.message_id for each in busy.batch}:
            self._release({delivery.key}, busy.batch, is_wanted)

    def put_back(self, batch: list[Delivery]) -> None:
        """Undo :meth:`take_due`, since ``batch`` cannot be handled now."""
        self.release(batch, lambda delivery: True)
        self._ready.extendleft(reversed(batch))
        self._find_oldest()

    def clear(self) -> list[Delivery]:
        """Remove and return all that waits."""
        cleared = list(self._ready)
        self._ready.clear()
        for busy in self._busy.values():
            cleared += busy.waiting
            busy.waiting.clear()
        self._oldest = None
        return cleared

    def next_due(self) -> float | None:
        """When a batch is complete, at the latest; ``None`` if nothing waits."""
        if self._oldest is None or len(self._ready) >= self._max_messages:
            return self._oldest
        return self._oldest + self._max_wait

    def _part_from_batches(self) -> None:
        """Let what is ready wait where a batch has taken messages of its key."""
        ready, self._ready = self._ready, deque()
        for delivery in ready:
            busy = self._busy.get(delivery.key)
            (self._ready if busy is None else busy.waiting).append(delivery)

    def _release(
        self, keys: set[str], batch: list[Delivery], is_wanted: Callable[[Delivery], bool]
    ) -> None:
        released: list[Delivery] = []
        for key in keys:
            busy = self._busy.get(key)
            if busy is not None and busy.batch is batch:
                released += filter(is_wanted, busy.waiting)
                del self._busy[key]
        if released:
            self._ready.extendleft(reversed(released))
            self._find_oldest()

    def _find_oldest(self) -> None:
        self._oldest = min((each.received_at for each in self._ready), default=None)
