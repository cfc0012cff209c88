"""What a subscription has received by Google's client, and what of it is outstanding."""

from __future__ import annotations

from typing import NamedTuple

from rele.engine.base import Message


class ScheduledCounts:
    """The totals of one subscription, over all its streams."""

    def __init__(self) -> None:
        self.received = 0
        self.redelivered = 0
        """Of these, those that had been delivered before, where Pub/Sub counts that."""
        self.handled_at: float | None = None
        """When the last handler returned; ``None`` if none has."""

    def note_received(self, message: Message) -> None:
        """Count a message."""
        self.received += 1
        attempt = getattr(message, "delivery_attempt", None)  # not all stand-ins have one
        self.redelivered += isinstance(attempt, int) and attempt > 1


class ScheduledFigures(NamedTuple):
    """What is outstanding on one stream."""

    messages: int
    size: int
    """In bytes."""
    longest_running: float
    """For how many seconds the handler has been running that began first."""
