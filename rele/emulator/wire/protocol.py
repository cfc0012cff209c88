"""The messages of ``google.pubsub.v1``: the only module that knows where they come from.

They are plain protobuf classes, not the wrappers of the client library, which cost several times
as much for each access. What goes out for every message is put together from bytes: the stored
message is copied as it is, not parsed and serialised again.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.rules.refusals import InvalidArgumentError
from rele.emulator.wire.descriptors import message_class

RawMessage: TypeAlias = Any
"""A protobuf message; its class is made at run time, so that its fields are unknown here."""

Topic = message_class("Topic")
Subscription = message_class("Subscription")
Snapshot = message_class("Snapshot")
ListTopicsResponse = message_class("ListTopicsResponse")
ListTopicSubscriptionsResponse = message_class("ListTopicSubscriptionsResponse")
ListSubscriptionsResponse = message_class("ListSubscriptionsResponse")
ListTopicSnapshotsResponse = message_class("ListTopicSnapshotsResponse")
ListSnapshotsResponse = message_class("ListSnapshotsResponse")
PublishResponse = message_class("PublishResponse")

EMPTY = b""
"""A serialised ``google.protobuf.Empty``, or any other message with nothing set."""

STATE_ACTIVE = 1
"""``ACTIVE`` in both Topic.State and Subscription.State."""

PUBLISHER = "google.pubsub.v1.Publisher"
SUBSCRIBER = "google.pubsub.v1.Subscriber"
SCHEMA_SERVICE = "google.pubsub.v1.SchemaService"

_REQUEST_TYPES: dict[str, Any] = {
    "CreateTopic": Topic,
    "UpdateTopic": message_class("UpdateTopicRequest"),
    "Publish": message_class("PublishRequest"),
    "GetTopic": message_class("GetTopicRequest"),
    "ListTopics": message_class("ListTopicsRequest"),
    "ListTopicSubscriptions": message_class("ListTopicSubscriptionsRequest"),
    "DeleteTopic": message_class("DeleteTopicRequest"),
    "CreateSubscription": Subscription,
    "GetSubscription": message_class("GetSubscriptionRequest"),
    "UpdateSubscription": message_class("UpdateSubscriptionRequest"),
    "ListSubscriptions": message_class("ListSubscriptionsRequest"),
    "DeleteSubscription": message_class("DeleteSubscriptionRequest"),
    "ModifyAckDeadline": message_class("ModifyAckDeadlineRequest"),
    "Acknowledge": message_class("AcknowledgeRequest"),
    "Pull": message_class("PullRequest"),
    "ModifyPushConfig": message_class("ModifyPushConfigRequest"),
    "DetachSubscription": message_class("DetachSubscriptionRequest"),
    "Seek": message_class("SeekRequest"),
    "CreateSnapshot": message_class("CreateSnapshotRequest"),
    "GetSnapshot": message_class("GetSnapshotRequest"),
    "UpdateSnapshot": message_class("UpdateSnapshotRequest"),
    "ListSnapshots": message_class("ListSnapshotsRequest"),
    "ListTopicSnapshots": message_class("ListTopicSnapshotsRequest"),
    "DeleteSnapshot": message_class("DeleteSnapshotRequest"),
    "StreamingPull": message_class("StreamingPullRequest"),
    "ListSchemas": message_class("ListSchemasRequest"),
}
"""The request class of each RPC that is served, by its name."""

__all__ = [
    "EMPTY",
    "PUBLISHER",
    "SCHEMA_SERVICE",
    "STATE_ACTIVE",
    "SUBSCRIBER",
    "ListSnapshotsResponse",
    "ListSubscriptionsResponse",
    "ListTopicSnapshotsResponse",
    "ListTopicSubscriptionsResponse",
    "ListTopicsResponse",
    "PublishResponse",
    "RawMessage",
    "Snapshot",
    "Subscription",
    "Topic",
    "encode_ack_id_failures",
    "encode_acknowledge_confirmation",
    "encode_modify_confirmation",
    "encode_pull_response",
    "encode_received_message",
    "encode_streaming_properties",
    "parse_request",
    "restored",
    "serialize",
    "store",
]

# Tags on the wire: (field number << 3) | wire type, where 0 is a varint and 2 is length-delimited.
_RECEIVED_MESSAGES = b"\x0a"  # PullResponse and StreamingPullResponse .received_messages = 1
_ACK_ID = b"\x0a"  # ReceivedMessage.ack_id = 1
_MESSAGE = b"\x12"  # ReceivedMessage.message = 2
_DELIVERY_ATTEMPT = b"\x18"  # ReceivedMessage.delivery_attempt = 3

_PubsubMessage = message_class("PubsubMessage")
_StreamingPullResponse = message_class("StreamingPullResponse")


def parse_request(method: str, payload: bytes) -> RawMessage:
    """The request of the RPC ``method``. Raises ``InvalidArgumentError`` for what is none."""
    kind = _REQUEST_TYPES[method]
    try:
        return kind.FromString(payload)
    except DecodeError:
        raise InvalidArgumentError(
            f"The request is not a valid {kind.DESCRIPTOR.full_name}."
        ) from None


def serialize(response: RawMessage) -> bytes:
    """The bytes of a response; one that is bytes already is passed on."""
    if isinstance(response, bytes):
        return response
    encoded: bytes = response.SerializeToString()
    return encoded


def store(message: RawMessage, message_id: int, publish_time: int) -> StoredMessage:
    """Give a ``PubsubMessage`` its id and publish time (microseconds since the epoch).

    Clients see the time in milliseconds, as the service gives it.
    """
    message.message_id = str(message_id)
    timestamp = message.publish_time
    timestamp.seconds, milliseconds = divmod(publish_time // 1000, 1000)
    timestamp.nanos = milliseconds * 1_000_000
    encoded = message.SerializeToString()
    return StoredMessage(message_id, publish_time, encoded, message.ordering_key)


def restored(encoded: bytes) -> RawMessage:
    """The ``PubsubMessage`` that was stored in this form."""
    return _PubsubMessage.FromString(encoded)


def encode_received_message(ack_id: str, message: bytes, delivery_attempt: int = 0) -> bytes:
    """A serialised ``ReceivedMessage``; an attempt of 0 is left out, as an unset field is."""
    ack = ack_id.encode("ascii")
    parts = [_ACK_ID, _varint(len(ack)), ack, _MESSAGE, _varint(len(message)), message]
    if delivery_attempt:
        parts += (_DELIVERY_ATTEMPT, _varint(delivery_attempt))
    return b"".join(parts)


def encode_pull_response(received: Iterable[bytes]) -> bytes:
    """A serialised ``PullResponse`` of serialised received messages.

    A ``StreamingPullResponse`` has them in the same field, so that this is one, too, and other
    fields of it can be appended.
    """
    parts: list[bytes] = []
    for message in received:
        parts += (_RECEIVED_MESSAGES, _varint(len(message)), message)
    return b"".join(parts)


def encode_streaming_properties(*, exactly_once: bool, ordering: bool) -> bytes:
    """A serialised ``StreamingPullResponse`` that has only its ``subscription_properties``."""
    response = _StreamingPullResponse()
    properties = response.subscription_properties
    properties.exactly_once_delivery_enabled = exactly_once
    properties.message_ordering_enabled = ordering
    properties.SetInParent()
    return serialize(response)


def encode_acknowledge_confirmation(
    done: Iterable[str],
    invalid: Iterable[str],
    unordered: Iterable[str],
    temporary: Iterable[str] = (),
) -> bytes:
    """A serialised ``StreamingPullResponse`` that has only an ``acknowledge_confirmation``."""
    response = _StreamingPullResponse()
    confirmation = response.acknowledge_confirmation
    confirmation.ack_ids.extend(done)
    confirmation.invalid_ack_ids.extend(invalid)
    confirmation.unordered_ack_ids.extend(unordered)
    confirmation.temporary_failed_ack_ids.extend(temporary)
    return serialize(response)


def encode_modify_confirmation(done: Iterable[str], invalid: Iterable[str]) -> bytes:
    """A serialised response that has only a ``modify_ack_deadline_confirmation``."""
    response = _StreamingPullResponse()
    confirmation = response.modify_ack_deadline_confirmation
    confirmation.ack_ids.extend(done)
    confirmation.invalid_ack_ids.extend(invalid)
    return serialize(response)


def encode_ack_id_failures(code: int, text: str, failures: Mapping[str, str]) -> bytes:
    """A serialised ``google.rpc.Status`` that tells of what each ack id failed."""
    # Only needed when something fails, and slow to load.
    from google.rpc import error_details_pb2, status_pb2

    info = error_details_pb2.ErrorInfo(
        reason="EXACTLY_ONCE_ACKID_FAILURE", domain="pubsub.googleapis.com", metadata=failures
    )
    status = status_pb2.Status(code=code, message=text)
    status.details.add().Pack(info)
    encoded: bytes = status.SerializeToString()
    return encoded


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)
