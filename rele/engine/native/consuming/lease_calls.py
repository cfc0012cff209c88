"""What is sent to Pub/Sub about leased messages, and what comes of it, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rele.engine.native.consuming.delivery import Delivery, Settled

LEASE_LOST = "its lease was lost"
"""Why a settlement has no effect."""

UNAVAILABLE = "Pub/Sub is unavailable"
"""Why it is not known whether a settlement has an effect."""


@dataclass(frozen=True)
class Call:
    """An Acknowledge (without ``seconds``) or a ModifyAckDeadline to make."""

    purpose: Literal["ack", "nack", "delay", "extend"]
    deliveries: Sequence[Delivery]
    sent_at: float
    seconds: int = 0

    @property
    def ack_ids(self) -> list[str]:
        """What it is about."""
        return [delivery.ack_id for delivery in self.deliveries]

    def seconds_left(self, now: float) -> int:
        """What is left of a delay; an extension begins anew."""
        if self.purpose != "delay":
            return self.seconds
        return max(self.seconds - int(now - self.sent_at), 1)


class Confirmed(NamedTuple):
    """The end of a delivery: Pub/Sub knows how it was settled, or its lease was lost."""

    delivery: Delivery
    error: str | None = None
    """Why the settlement has no effect; ``None`` if it has."""
    settled: Settled | None = None
    """Which one, if it is not the one that counts for the delivery."""


@dataclass
class Work:
    """What the driver has to do."""

    calls: list[Call] = field(default_factory=list)
    ended: list[tuple[Delivery, str | None]] = field(default_factory=list)
    """What :attr:`confirmed` is made of, which costs more: the deliveries and the errors."""
    answered: list[Confirmed] = field(default_factory=list)
    """What does not end a delivery, but somebody may wait for."""
    overdue: list[Delivery] = field(default_factory=list)
    """Deliveries that were outstanding for the longest time allowed, and are nacked."""
    lost: list[Delivery] = field(default_factory=list)
    """Deliveries whose leases are known to have ended before Pub/Sub knew how they were settled."""

    @property
    def confirmed(self) -> list[Confirmed]:
        """The ends of deliveries, in their order."""
        return [Confirmed(delivery, error) for delivery, error in self.ended]
