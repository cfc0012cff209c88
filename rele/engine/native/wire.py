"""A request to publish, as bytes.

A protobuf message is the concatenation of its fields, so that a message can be serialised once, in
the thread that publishes it, and a request is put together from such pieces (Protocol Buffers,
"Encoding": "Last One Wins", "Message Structure").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.pubsub_v1.types import PublishRequest, PublishResponse, PubsubMessage

_Message = PubsubMessage.pb()
_Request = PublishRequest.pb()
_Response = PublishResponse.pb()

_MESSAGES_TAG = b"\x12"
"""Field 2 of a PublishRequest, ``messages``, with a length before its content."""


def message_field(data: bytes, attributes: Mapping[str, str], ordering_key: str) -> bytes:
    """A message as a field of a PublishRequest."""
    body: bytes = _Message(
        data=data, attributes=attributes, ordering_key=ordering_key
    ).SerializeToString()
    return _MESSAGES_TAG + _varint(len(body)) + body


def topic_field(topic_path: str) -> bytes:
    """The topic (``projects/PROJECT/topics/TOPIC``) as a field of a PublishRequest."""
    field: bytes = _Request(topic=topic_path).SerializeToString()
    return field


def request(topic_path: str, message_fields: Sequence[bytes]) -> bytes:
    """A PublishRequest with these messages."""
    return b"".join((topic_field(topic_path), *message_fields))


def message_ids(response: bytes) -> list[str]:
    """The message ids in a PublishResponse, in the order of the request's messages."""
    return list(_Response.FromString(response).message_ids)


def _varint(number: int) -> bytes:
    """An integer of variable length, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
