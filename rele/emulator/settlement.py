"""Acks, extensions and nacks as requests carry them."""

from collections.abc import Sequence

from rele.emulator import limits
from rele.emulator.deliveries import MalformedAckIdError
from rele.emulator.delivery_state import DeliveryState
from rele.emulator.errors import InvalidArgumentError


def acknowledge(delivery: DeliveryState, ack_ids: Sequence[str]) -> None:
    """Acknowledge messages. Raises ``InvalidArgumentError`` for what is no ack id."""
    try:
        delivery.acknowledge(ack_ids)
    except MalformedAckIdError as error:
        raise InvalidArgumentError(str(error)) from None


def modify_ack_deadlines(
    delivery: DeliveryState, ack_ids: Sequence[str], seconds: Sequence[int], field: str
) -> None:
    """Extend leases, or end them with 0 seconds.

    Raises ``InvalidArgumentError``, naming ``field`` for the seconds.
    """
    limits.check_extensions(seconds, ack_ids, field)
    try:
        delivery.modify_ack_deadlines(ack_ids, seconds)
    except MalformedAckIdError as error:
        raise InvalidArgumentError(str(error)) from None
