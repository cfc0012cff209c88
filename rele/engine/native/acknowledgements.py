"""Why a settlement has no effect, as the error that Google's client raises: callers catch it."""

from __future__ import annotations

from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus

from rele.engine.native.lease_keeper import LEASE_LOST

__all__ = ["AcknowledgeStatus", "acknowledge_error"]

_STATUS = {
    LEASE_LOST: AcknowledgeStatus.INVALID_ACK_ID,
    "PERMANENT_FAILURE_INVALID_ACK_ID": AcknowledgeStatus.INVALID_ACK_ID,
}


def acknowledge_error(reason: str) -> Exception:
    """The error for ``reason``: a text of Pub/Sub, or of the leases."""
    error: Exception = AcknowledgeError(_STATUS.get(reason, AcknowledgeStatus.OTHER), reason)
    return error
