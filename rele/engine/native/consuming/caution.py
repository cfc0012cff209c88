"""Messages that may have killed the worker that had them. No clock, no thread, no gRPC."""

from __future__ import annotations

from collections.abc import Callable

from rele.engine.native.consuming.delivery import Delivery

LASTS_FOR = 30.0
CONCERNS = 100
"""The seconds after the start, and the redelivered messages, for which a worker is cautious."""


class Caution:
    """Lets a worker that was started again survive as much as possible of what killed the last one.

    If a message kills its worker, Pub/Sub counts a delivery attempt for all that was outstanding,
    and redelivers all of it. So at first a worker handles what was delivered before one at a time,
    each once Pub/Sub knows of the settlement of the one before: in the order of the message ids at
    even attempts, and the other way round at odd ones. In one of two attempts every other message
    is handled before the one that kills, so that it is the only one that is dead-lettered.

    Without a dead-letter policy Pub/Sub counts no attempts, and this does nothing.

    All times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._ends_at = float("-inf")
        self._left = CONCERNS
        self._held: list[Delivery] = []
        self._running: Delivery | None = None
        self._survived: set[str] = set()
        """The ids of messages that have failed here, and did not kill this worker."""

    def start(self, now: float) -> None:
        """Be cautious from now on."""
        self._ends_at = now + LASTS_FOR

    def admit(
        self, ready: list[Delivery], now: float, is_settled: Callable[[Delivery], bool]
    ) -> list[Delivery]:
        """What is to be handled now, of ``ready`` and of what was held before.

        Args:
            ready: what could be handled, if it did not kill the worker.
            now: the time.
            is_settled: whether Pub/Sub knows how a delivery was settled.
        """
        if now >= self._ends_at:
            admitted, self._held = [*self._held, *ready], []
            self._survived.clear()
            return admitted
        admitted = [each for each in ready if (each.attempt or 1) == 1 or not self._holds(each)]
        if self._running is not None and is_settled(self._running):
            self._running = None
        if self._running is None and self._held:
            self._running = self._next()
            admitted.append(self._running)
        return admitted

    def lasts(self, now: float) -> bool:
        """Whether this worker is cautious now."""
        return now < self._ends_at

    def note_failed(self, delivery: Delivery, now: float) -> None:
        """Note that ``delivery`` was not acked, and is redelivered to a worker that it spares."""
        if now < self._ends_at:
            self._survived.add(delivery.message_id)

    def clear(self) -> list[Delivery]:
        """Hold nothing any more; return what was held."""
        held, self._held = self._held, []
        return held

    def next_due(self) -> float | None:
        """When to call :meth:`admit` at the latest; ``None``: not before the next event."""
        return self._ends_at if self._held else None

    def _holds(self, delivery: Delivery) -> bool:
        if self._left == 0 or delivery.message_id in self._survived:
            return False
        self._left -= 1
        self._held.append(delivery)
        return True

    def _next(self) -> Delivery:
        attempt = max(delivery.attempt or 1 for delivery in self._held)
        choose = min if attempt % 2 == 0 else max
        chosen = choose(self._held, key=_message_id)
        self._held.remove(chosen)
        return chosen


def _message_id(delivery: Delivery) -> str:
    return delivery.message_id
