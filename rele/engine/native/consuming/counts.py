"""What a subscription has received and settled since the process began to consume it."""

from __future__ import annotations

from collections.abc import Sequence

from rele.engine.native.consuming.delivery import Delivery


class Counts:
    """The totals of one subscription. One thread changes them, and any thread may read them."""

    def __init__(self) -> None:
        self.received = 0
        self.redelivered = 0
        """Of these, those that had been delivered before, where Pub/Sub counts that."""
        self.leases_extended = 0
        self.leases_lost = 0
        """Before Pub/Sub knew how the messages were settled."""
        self.handled_at: float | None = None
        """When the last handler returned; ``None`` if none has."""

    def note_received(self, deliveries: Sequence[Delivery]) -> None:
        """Count what was received together."""
        self.received += len(deliveries)
        # Pub/Sub counts the attempts of all messages of a subscription, or of none.
        if deliveries and deliveries[0].attempt is not None:
            self.redelivered += sum((each.attempt or 1) > 1 for each in deliveries)

    def note_returned(self, deliveries: Sequence[Delivery], now: float) -> None:
        """Note that the handlers of ``deliveries`` have returned, or were not begun."""
        if deliveries and deliveries[-1].begun_at is not None:
            self.handled_at = now
