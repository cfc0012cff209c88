"""Acks, extensions and nacks of requests.

With exactly-once delivery each ack id gets an answer ("Exactly-once delivery" in the Pub/Sub
documentation): a stream is sent confirmations, a unary request fails with the reason for each id.
"""

from collections.abc import Sequence

from rele.emulator.delivery.ack_ids import MalformedAckIdError, Outcome
from rele.emulator.delivery.backlog import Backlog
from rele.emulator.rules import limits
from rele.emulator.rules.refusals import AckIdsError, InvalidArgumentError


def acknowledge(backlog: Backlog, ack_ids: Sequence[str]) -> Outcome | None:
    """Acknowledge messages; returns the outcome with exactly-once delivery only.

    Raises ``InvalidArgumentError`` for a malformed ack id, and the reason if the subscription has
    ended: nothing is acknowledged then.
    """
    backlog.check_open()
    if backlog.exactly_once:
        return backlog.acknowledge_exactly(ack_ids)
    try:
        backlog.acknowledge(ack_ids)
    except MalformedAckIdError as error:
        raise InvalidArgumentError(str(error)) from None
    return None


def modify_ack_deadlines(
    backlog: Backlog, ack_ids: Sequence[str], seconds: Sequence[int], field: str
) -> Outcome | None:
    """Extend leases, or end them with 0 seconds (a nack).

    Returns the outcome with exactly-once delivery only.

    Raises ``InvalidArgumentError``, naming ``field`` for the seconds.
    """
    limits.check_extensions(seconds, ack_ids, field)
    if backlog.exactly_once:
        return backlog.modify_exactly(ack_ids, seconds)
    try:
        backlog.modify_ack_deadlines(ack_ids, seconds)
    except MalformedAckIdError as error:
        raise InvalidArgumentError(str(error)) from None
    return None


def raise_for(outcome: Outcome | None) -> None:
    """Raise ``AckIdsError`` unless all ack ids of a unary request were accepted."""
    if outcome is not None and (outcome.invalid or outcome.unordered):
        raise AckIdsError(outcome.invalid, outcome.unordered)
