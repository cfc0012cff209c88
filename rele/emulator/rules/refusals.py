"""The errors that a client is answered with.

The texts of ``NotFoundError`` and ``AlreadyExistsError`` are those of the service ("Error codes"
in the Pub/Sub documentation).
"""

from collections.abc import Iterable
from typing import ClassVar


class ServiceError(Exception):
    """An RPC's failure: ``status`` is the name of its gRPC status code, the text its details."""

    status: ClassVar[str] = "INTERNAL"


class InvalidArgumentError(ServiceError):
    """The request itself is wrong; the text names the field."""

    status = "INVALID_ARGUMENT"


class AckIdsError(ServiceError):
    """Some ack ids of a request on a subscription with exactly-once delivery were not accepted.

    ``failures`` has the reason for each. Clients read only these, from a ``google.rpc.ErrorInfo``,
    and retry those that begin with ``TRANSIENT_``.
    """

    status = "INVALID_ARGUMENT"

    def __init__(self, invalid: Iterable[str], unordered: Iterable[str]) -> None:
        super().__init__("Some acknowledgement ids in the request were invalid.")
        self.failures = {
            **dict.fromkeys(invalid, "PERMANENT_FAILURE_INVALID_ACK_ID"),
            **dict.fromkeys(unordered, "TRANSIENT_FAILURE_UNORDERED_ACK_ID"),
        }


class FailedPreconditionError(ServiceError):
    """The request cannot be served in the current state of the resource."""

    status = "FAILED_PRECONDITION"


class UnimplementedError(ServiceError):
    """The service has this feature, this server does not."""

    status = "UNIMPLEMENTED"


class NotFoundError(ServiceError):
    """The named topic or subscription does not exist."""

    status = "NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"Resource not found (resource={_resource_id(name)}).")


class AlreadyExistsError(ServiceError):
    """A topic or subscription of that name exists."""

    status = "ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"Resource already exists in the project (resource={_resource_id(name)}).")


class UnavailableError(ServiceError):
    """The server is shutting down or cannot use its disk; clients retry."""

    status = "UNAVAILABLE"


class ResourceExhaustedError(ServiceError):
    """The disk is full; clients retry."""

    status = "RESOURCE_EXHAUSTED"


def _resource_id(name: str) -> str:
    return name.rpartition("/")[2]
