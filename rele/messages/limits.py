"""The limits of a message: its topic, its ordering key, its attributes, its size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# Quotas and limits of Pub/Sub, "Resource limits".
MAX_ATTRIBUTES = 100
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 1024
MAX_REQUEST_BYTES = 10_000_000
MAX_ORDERING_KEY_BYTES = 1024

MAX_PROJECT_LENGTH = 30
"""The most characters of a project's id, which is part of each request. The size is checked with
this length, because a publisher whose messages another process sends may not know its project."""

CLIENT_PREFIX = "googclient_"
"""Of attributes that client libraries add, such as the context of a trace. Pub/Sub reserves all
other names that begin with `goog` for itself."""

SURELY_ACCEPTED_BYTES = 9_800_000
"""A message with no more bytes of data is not too large, if its attributes and its ordering key are
within their limits: together they take less than the rest of a request."""

RESOURCE_NAME_RULE = (
    "3 to 255 characters: letters, digits and -_.~+%, beginning with a letter but not with `goog`"
)
"""What the name of a topic or a subscription must consist of."""

_RESOURCE_NAME = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}")


class TooLargeError(ValueError):
    """A message is larger than Pub/Sub accepts."""


@lru_cache(maxsize=1024)
def is_resource_name(name: str) -> bool:
    """Whether Pub/Sub accepts ``name`` as the name of a topic or a subscription."""
    return _RESOURCE_NAME.fullmatch(name) is not None


def check_topic(topic: Any) -> None:
    """Refuse a value that cannot be the id of a topic.

    Raises:
        TypeError: it is not a string.
        ValueError: Pub/Sub accepts no topic of that name.
    """
    if not isinstance(topic, str):
        raise TypeError(f"The topic must be a string, not {type(topic).__name__}: {topic!r}")
    if not is_resource_name(topic):
        hint = " Write its id alone, without the project." if "/" in topic else ""
        raise ValueError(
            f"Pub/Sub accepts no topic named {topic[:300]!r}. A name has {RESOURCE_NAME_RULE}."
            f"{hint}"
        )


def check_ordering_key(key: Any) -> None:
    """Refuse a value that cannot be an ordering key.

    Raises:
        TypeError: it is not a string.
        ValueError: it is too long, or not valid Unicode.
    """
    if type(key) is str and not key:
        return
    if not isinstance(key, str):
        raise TypeError(f"The ordering key must be a string, not {type(key).__name__}: {key!r}")
    if (length := _length(key, "The ordering key")) > MAX_ORDERING_KEY_BYTES:
        raise ValueError(
            f"The ordering key is {length} bytes long; Pub/Sub takes {MAX_ORDERING_KEY_BYTES}."
        )


def check_size(topic: str, data: bytes, attributes: Mapping[str, str], ordering_key: str) -> None:
    """Refuse a message that is too large for a request with nothing else in it.

    Raises:
        TooLargeError: it is too large.
    """
    size = request_size(topic, data, attributes, ordering_key)
    if size > MAX_REQUEST_BYTES:
        raise TooLargeError(
            f"The message has {len(data):,} bytes of data, and {size:,} bytes with its attributes "
            f"and its topic: Pub/Sub takes {MAX_REQUEST_BYTES:,}. Store the data elsewhere and "
            "publish where it is."
        )


def request_size(
    topic: str,
    data: bytes,
    attributes: Mapping[str, str],
    ordering_key: str,
    *,
    project_length: int = MAX_PROJECT_LENGTH,
) -> int:
    """How many bytes a PublishRequest with only this message has, as protobuf encodes it."""
    path = len("projects/") + project_length + len("/topics/") + len(topic)
    message = sum(
        _field(_field(len(key.encode())) + _field(len(value.encode())))
        for key, value in attributes.items()
    )
    if data:
        message += _field(len(data))
    if ordering_key:
        message += _field(len(ordering_key.encode()))
    return _field(path) + _field(message)


def _field(length: int) -> int:
    """How many bytes a field with ``length`` bytes of content has: tag, length and content."""
    return 1 + max(1, -(-length.bit_length() // 7)) + length


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes for which Pub/Sub would refuse every message of their batch.

    Raises:
        TypeError: a key or a value is not a string.
        ValueError: there are too many, or one is too long, empty or reserved.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(
            f"A message has at most {MAX_ATTRIBUTES} attributes (published_at is one of them), not "
            f"{len(attributes)}."
        )
    for key, value in attributes.items():
        if (  # most attributes are short and ASCII, and need no closer look
            type(key) is str
            and type(value) is str
            and 0 < len(key) <= MAX_KEY_BYTES
            and len(value) <= MAX_VALUE_BYTES
            and key.isascii()
            and value.isascii()
            and key[:4] != "goog"
        ):
            continue
        _check_key(key)
        if not isinstance(value, str):
            raise TypeError(
                f"The attribute {key!r} must be a string, not {type(value).__name__}: {value!r}"
            )
        if (length := _length(value, f"The attribute {key!r}")) > MAX_VALUE_BYTES:
            raise ValueError(
                f"The attribute {key!r} is {length} bytes long; Pub/Sub takes {MAX_VALUE_BYTES}."
            )


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise TypeError(f"An attribute's name must be a string, not {key!r}.")
    if not key:
        raise ValueError("An attribute's name must not be empty.")
    if key.startswith("goog") and not key.startswith(CLIENT_PREFIX):
        raise ValueError(
            f"The attribute {key!r} begins with `goog`, which Pub/Sub reserves for itself."
        )
    if (length := _length(key, f"The attribute's name {key!r}")) > MAX_KEY_BYTES:
        raise ValueError(
            f"The attribute's name {key!r} is {length} bytes long; Pub/Sub takes {MAX_KEY_BYTES}."
        )


def _length(text: str, subject: str) -> int:
    """The length in bytes of UTF-8; ``subject`` begins the error for text that has none."""
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"{subject} is not valid Unicode: {error}") from error
