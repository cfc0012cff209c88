"""What happens to the deliveries of an ordering key, and what is known of one of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from rele.engine.native.consuming.delivery import Delivery

LONGEST_BACKOFF = 600.0
"""Seconds of the longest backoff that a retry policy can have."""

MOST_REFUSED = 3
"""After so many refused acks of a message Pub/Sub's order of its key counts: with exactly-once
delivery, no ack is accepted before those of earlier messages, and one of these may be waiting."""

SHED_EVERY = 1.0
"""Seconds between two times that held messages are nacked since there are too many of them."""

PATIENCE = 60.0
"""Seconds for which a message may be late that is to be redelivered.

After that another worker must have got it, and what is held behind it is nacked.
"""


COPIES_WITHIN = 0.5
"""Seconds for which what was held is not handled, unless it is redelivered meanwhile.

Pub/Sub redelivers it after the message that failed: its leases have ended then, and what is handled
of it would be handled again. Google's emulator does not redeliver it.
"""


@dataclass(frozen=True)
class Step:
    """What happens to the deliveries of a key now."""

    nack: list[Delivery] = field(default_factory=list)
    """What is to be nacked."""
    ready: list[Delivery] = field(default_factory=list)
    """What is to be handled, in this order."""
    replaced: list[Delivery] = field(default_factory=list)
    """Older deliveries of messages that were redelivered: their leases have ended."""
    withdrawn: list[Delivery] = field(default_factory=list)
    """What was to be handled, but is not any more."""
    copies: list[Delivery] = field(default_factory=list)
    """Newer deliveries of the message that was handled just now, to be settled as it was."""


def is_acked(delivery: Delivery) -> bool:
    """Whether it was acked here, whatever Pub/Sub answers."""
    return delivery.settled is not None and delivery.settled.kind == "ack"


def are_new(*deliveries: Delivery) -> bool:
    """Whether each is the first delivery of its message."""
    return all((delivery.attempt or 1) == 1 for delivery in deliveries)


def ended_at(delivery: Delivery, now: float) -> float:
    """When the lease of ``delivery``, which has ended here, has surely ended for Pub/Sub."""
    # An extension that was not answered may have had an effect.
    is_doubtful = delivery.is_doubtful or delivery.is_being_extended
    return now + PATIENCE if delivery.is_lost and is_doubtful else now


def is_done(delivery: Delivery, is_exactly_once: bool) -> bool:
    """Whether ``delivery`` was acked, and Pub/Sub is not known to have refused that."""
    return is_acked(delivery) and not (is_exactly_once and delivery.is_lost)


def is_last(delivery: Delivery, max_attempts: int | None) -> bool:
    """Whether the message becomes a dead letter if this delivery fails."""
    return max_attempts is not None and (delivery.attempt or 0) >= max_attempts


def asked_delay(delivery: Delivery, now: float) -> float | None:
    """After how many seconds ``delivery`` is redelivered as its handler asked; else ``None``."""
    settled = delivery.settled
    if settled is not None and settled.kind == "delay" and settled.seconds > 0:
        return settled.seconds
    if settled is not None and settled.kind == "drop":
        return max(delivery.lease_ends_at - now, 0.0)
    return None
