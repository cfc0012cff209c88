"""How the deliveries of a request are divided, before it is made and after its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from rele.engine.native.consuming.delivery import Delivery

MAX_IDS = 1000
MAX_BYTES = 512 * 1024
"""Quotas and limits of Pub/Sub, "Resource limits": of an Acknowledge or ModifyAckDeadline."""


_ack_id = attrgetter("ack_id")


def divided(deliveries: list[Delivery]) -> Iterable[list[Delivery]]:
    """Divide ``deliveries`` so that each part fits into a request."""
    size = sum(map(len, map(_ack_id, deliveries))) + 4 * len(deliveries)
    if 0 < len(deliveries) <= MAX_IDS and size <= MAX_BYTES:
        yield deliveries
        return
    part: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        bytes_needed = len(delivery.ack_id) + 4
        if part and (len(part) >= MAX_IDS or size + bytes_needed > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(delivery)
        size += bytes_needed
    if part:
        yield part


def sorted_by_outcome(
    deliveries: Sequence[Delivery], error: str | None, refused: Mapping[str, str]
) -> tuple[Sequence[Delivery], Sequence[Delivery], Sequence[Delivery]]:
    """The deliveries of a call that have succeeded, are to be tried again, and have failed."""
    if error:
        return (), deliveries, ()
    if not refused:
        return deliveries, (), ()
    reasons = [(delivery, refused.get(delivery.ack_id)) for delivery in deliveries]
    return (
        [delivery for delivery, reason in reasons if reason is None],
        [delivery for delivery, reason in reasons if _is_transient(reason)],
        [delivery for delivery, reason in reasons if _is_permanent(reason)],
    )


def _is_transient(reason: str | None) -> bool:
    return reason is not None and reason.startswith("TRANSIENT")


def _is_permanent(reason: str | None) -> bool:
    return reason is not None and not reason.startswith("TRANSIENT")
