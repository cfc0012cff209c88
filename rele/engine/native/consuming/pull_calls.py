"""The requests and responses of a consumer, as bytes and as values."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import grpc
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.gapic_v1.routing_header import to_grpc_metadata
from google.pubsub_v1.types import (
    AcknowledgeRequest,
    ModifyAckDeadlineRequest,
    StreamingPullRequest,
    StreamingPullResponse,
)
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from rele._version import __version__
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.lease_calls import Call

_SERVICE = "/google.pubsub.v1.Subscriber/"
STREAMING_PULL = f"{_SERVICE}StreamingPull"
ACKNOWLEDGE = f"{_SERVICE}Acknowledge"
MODIFY_ACK_DEADLINE = f"{_SERVICE}ModifyAckDeadline"

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
)
"""After these an acknowledgement or an extension has no effect, however often it is repeated: its
ack ids are not valid any more, or the subscription was deleted or detached."""

_Acknowledge = AcknowledgeRequest.pb()
_ModifyAckDeadline = ModifyAckDeadlineRequest.pb()
_Pull = StreamingPullRequest.pb()
_Pulled = StreamingPullResponse.pb()

_DETAILS = "grpc-status-details-bin"


def first_request(path: str, *, ack_deadline: int, max_messages: int, max_bytes: int) -> bytes:
    """What opens a stream of the subscription at ``path``."""
    request: bytes = _Pull(
        subscription=path,
        stream_ack_deadline_seconds=ack_deadline,
        max_outstanding_messages=max_messages,
        max_outstanding_bytes=max_bytes,
        client_id=str(uuid.uuid4()),
        protocol_version=1,
    ).SerializeToString()
    return request


_CLIENT: tuple[str, str] = ClientInfo(  # type: ignore[no-untyped-call]
    user_agent=f"rele/{__version__}"
).to_grpc_metadata()


def headers(path: str) -> tuple[tuple[str, str], ...]:
    """What Google's client sends with each call about the subscription at ``path``."""
    routing: tuple[str, str] = to_grpc_metadata(  # type: ignore[no-untyped-call]
        (("subscription", path),)
    )
    return (_CLIENT, routing)


KEEPALIVE: bytes = _Pull().SerializeToString()
"""A request without content, which the server answers from protocol version 1 on."""


def deliveries_of(response: bytes) -> list[Delivery]:
    """What was received in a ``StreamingPullResponse``."""
    received_messages = _Pulled.FromString(response).received_messages
    size = len(response) // max(len(received_messages), 1)
    deliveries: list[Delivery] = []
    for received in received_messages:
        message = received.message
        key, attempt = message.ordering_key, received.delivery_attempt or None
        deliveries.append(
            Delivery(received.ack_id, message.message_id, key, size, attempt, message)
        )
    return deliveries


def method_and_request(path: str, call: Call) -> tuple[str, bytes]:
    """The method of a call, and its request."""
    if call.purpose == "ack":
        return ACKNOWLEDGE, _Acknowledge(
            subscription=path, ack_ids=call.ack_ids
        ).SerializeToString()
    return MODIFY_ACK_DEADLINE, _ModifyAckDeadline(
        subscription=path, ack_ids=call.ack_ids, ack_deadline_seconds=call.seconds
    ).SerializeToString()


def extension_of_nothing(path: str) -> bytes:
    """A ModifyAckDeadlineRequest without an ack id: it has no effect, but an answer."""
    request: bytes = _ModifyAckDeadline(
        subscription=path, ack_deadline_seconds=10
    ).SerializeToString()
    return request


def outcome_of(call: Call, failure: grpc.aio.AioRpcError) -> tuple[str | None, Mapping[str, str]]:
    """Why a call has failed as a whole, if it may succeed later, and why ack ids are refused."""
    if refused := _refused_ids(failure.trailing_metadata()):
        return None, refused
    error = f"{failure.code().name}: {failure.details()}"
    if failure.code() in _FINAL:
        return None, dict.fromkeys(call.ack_ids, error)
    return error, {}


def _refused_ids(trailing_metadata: Any) -> Mapping[str, str]:
    """Why single ack ids were refused, as exactly-once delivery says it; empty without it.

    See https://cloud.google.com/pubsub/docs/exactly-once-delivery: an ``ErrorInfo`` in the details
    of the status has the ack ids as the keys of its metadata.
    """
    refused: dict[str, str] = {}
    for key, value in trailing_metadata or ():
        if key != _DETAILS:
            continue
        for detail in Status.FromString(value).details:
            info = ErrorInfo()
            if detail.Unpack(info):
                refused.update(info.metadata)
    return refused
