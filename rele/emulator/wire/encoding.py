"""Responses as bytes.

What is sent for every delivered message is put together from bytes: the stored message is copied
as it is, not parsed and serialised again.
"""

from collections.abc import Iterable, Mapping

from rele.emulator.wire.classes import RawMessage, StreamingPullResponse

EMPTY = b""
"""A serialised ``google.protobuf.Empty``, or any other message with nothing set."""

# Tags on the wire: (field number << 3) | wire type, where 0 is a varint and 2 is length-delimited.
_RECEIVED_MESSAGES = b"\x0a"  # PullResponse and StreamingPullResponse .received_messages = 1
_ACK_ID = b"\x0a"  # ReceivedMessage.ack_id = 1
_MESSAGE = b"\x12"  # ReceivedMessage.message = 2
_DELIVERY_ATTEMPT = b"\x18"  # ReceivedMessage.delivery_attempt = 3


def serialize(response: RawMessage) -> bytes:
    """The bytes of a response; one that is bytes already is passed on."""
    if isinstance(response, bytes):
        return response
    encoded: bytes = response.SerializeToString()
    return encoded


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
    response = StreamingPullResponse()
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
    response = StreamingPullResponse()
    confirmation = response.acknowledge_confirmation
    confirmation.ack_ids.extend(done)
    confirmation.invalid_ack_ids.extend(invalid)
    confirmation.unordered_ack_ids.extend(unordered)
    confirmation.temporary_failed_ack_ids.extend(temporary)
    return serialize(response)


def encode_modify_confirmation(done: Iterable[str], invalid: Iterable[str]) -> bytes:
    """A serialised response that has only a ``modify_ack_deadline_confirmation``."""
    response = StreamingPullResponse()
    confirmation = response.modify_ack_deadline_confirmation
    confirmation.ack_ids.extend(done)
    confirmation.invalid_ack_ids.extend(invalid)
    return serialize(response)


def encode_ack_id_failures(code: int, text: str, failures: Mapping[str, str]) -> bytes:
    """A serialised ``google.rpc.Status`` with the reason for each ack id."""
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
