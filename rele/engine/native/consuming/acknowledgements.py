"""Why a settlement has no effect, as the error that Google's client raises: callers catch it."""

from __future__ import annotations

from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus

from rele.engine.native.consuming.lease_calls import LEASE_LOST

__all__ = ["AcknowledgeStatus", "LeaseLostError", "acknowledge_error"]

_LOST = (LEASE_LOST, "PERMANENT_FAILURE_INVALID_ACK_ID")


class LeaseLostError(AcknowledgeError):  # type: ignore[misc]
    """The lease of the message had ended before Pub/Sub knew of the settlement."""

    is_lease_lost = True


def acknowledge_error(reason: str) -> Exception:
    """The error for ``reason``: a text of Pub/Sub, or of the leases."""
    kind, status = AcknowledgeError, AcknowledgeStatus.OTHER
    if reason in _LOST:
        kind, status = LeaseLostError, AcknowledgeStatus.INVALID_ACK_ID
    error: Exception = kind(status, reason)
    return error
