"""The attributes of deliveries, alone and together."""

from __future__ import annotations

from collections.abc import Sequence

from rele.contrib.opentelemetry.names import ACK_ID, ATTEMPT, BATCH_SIZE, MESSAGE_ID, ORDERING_KEY
from rele.contrib.opentelemetry.telemetry import Attributes
from rele.engine.base import Message
from rele.status.observers import ObservedDelivery


def described(delivery: Message | ObservedDelivery) -> Attributes:
    """The attributes of one delivery: of its span, or of its link in that of a batch."""
    attributes: Attributes = {ACK_ID: delivery.ack_id}
    if delivery.message_id:
        attributes[MESSAGE_ID] = delivery.message_id
    if delivery.ordering_key:
        attributes[ORDERING_KEY] = delivery.ordering_key
    if delivery.delivery_attempt is not None:
        attributes[ATTEMPT] = delivery.delivery_attempt
    return attributes


def described_together(deliveries: Sequence[Message]) -> Attributes:
    """The attributes of a batch."""
    attributes: Attributes = {BATCH_SIZE: len(deliveries)}
    keys = {delivery.ordering_key for delivery in deliveries}
    if len(keys) == 1 and (key := keys.pop()):
        attributes[ORDERING_KEY] = key
    return attributes
