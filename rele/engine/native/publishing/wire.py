"""A request to publish, as bytes.

A protobuf message is the concatenation of its fields, so that a message can be serialised once, in
the thread that publishes it, and a request is put together from such pieces. Its few fields are
written here, which takes half as long as to make a protobuf object from them first. The encoding is
that of https://protobuf.dev/programming-guides/encoding/, the numbers of the fields are those of
``google/pubsub/v1/pubsub.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from google.pubsub_v1.types import PublishRequest, PublishResponse

from rele.engine.native.publishing.outgoing import Field

_Request = PublishRequest.pb()
_Response = PublishResponse.pb()

_LARGE = 1_000_000
"""Bytes of data."""

# Each tag says that its field has a length and a content: the number of the field * 8 + 2.
_MESSAGES = b"\x12"
_DATA = b"\x0a"
_ATTRIBUTES = b"\x12"
_ORDERING_KEY = b"\x2a"
_KEY_OF_ENTRY = b"\x0a"
_VALUE_OF_ENTRY = b"\x12"


def _varint(number: int) -> bytes:
    """An integer of variable length, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_LENGTHS = [_varint(number) for number in range(2048)]
"""The lengths of all attributes and of most messages: a field with an attribute is shorter."""


def message_field(data: bytes, attributes: Mapping[str, str], ordering_key: str) -> Field:
    """A message, within Pub/Sub's limits, as a field of a PublishRequest."""
    lengths = _LENGTHS
    after = b""
    for key, value in attributes.items():
        key_bytes, value_bytes = key.encode(), value.encode()
        entry = (
            _KEY_OF_ENTRY
            + lengths[len(key_bytes)]
            + key_bytes
            + _VALUE_OF_ENTRY
            + lengths[len(value_bytes)]
            + value_bytes
        )
        after += _ATTRIBUTES + lengths[len(entry)] + entry
    if ordering_key:
        key_bytes = ordering_key.encode()
        after += _ORDERING_KEY + lengths[len(key_bytes)] + key_bytes
    if len(data) >= _LARGE:
        before = _DATA + _length(len(data))
        return _MESSAGES + _length(len(before) + len(data) + len(after)) + before, data, after
    body = _DATA + _length(len(data)) + data + after if data else after
    return _MESSAGES + _length(len(body)) + body


def _length(number: int) -> bytes:
    return _LENGTHS[number] if number < len(_LENGTHS) else _varint(number)


def topic_field(topic_path: str) -> bytes:
    """The topic (``projects/PROJECT/topics/TOPIC``) as a field of a PublishRequest."""
    field: bytes = _Request(topic=topic_path).SerializeToString()
    return field


def request(topic_path: str, message_fields: Sequence[Field]) -> bytes:
    """A PublishRequest with these messages."""
    return _joined([topic_field(topic_path), *message_fields])


def messages(message_fields: Sequence[Field]) -> Sequence[Any]:
    """The messages of a PublishRequest, as protobuf has them."""
    parsed: Sequence[Any] = _Request.FromString(_joined(message_fields)).messages
    return parsed


def _joined(fields: Sequence[Field]) -> bytes:
    try:  # nearly always none is in pieces, and nothing about any message is to be done here
        return b"".join(fields)  # type: ignore[arg-type]
    except TypeError:
        return b"".join(_pieces(fields))


def _pieces(fields: Sequence[Field]) -> Iterator[bytes]:
    for field in fields:
        if isinstance(field, bytes):
            yield field
        else:
            yield from field


def message_ids(response: bytes) -> list[str]:
    """The message ids in a PublishResponse, in the order of the request's messages."""
    return list(_Response.FromString(response).message_ids)
