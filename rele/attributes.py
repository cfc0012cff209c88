"""What Pub/Sub takes as a message, and its attributes above all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Quotas and limits of Pub/Sub, "Resource limits".
MAX_ATTRIBUTES = 100
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 1024
MAX_MESSAGE_BYTES = 10_000_000
MAX_ORDERING_KEY_BYTES = 1024
MAX_TOPIC_LENGTH = 255


def check_attributes(attributes: Mapping[str, Any]) -> None:
    """Refuse attributes that Pub/Sub would refuse, together with all that is in their batch.

    Raises:
        TypeError: a key or a value is no string.
        ValueError: there are too many, or one is too long, empty or reserved.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        raise ValueError(
            f"A message takes {MAX_ATTRIBUTES} attributes (published_at is one of them), not "
            f"{len(attributes)}."
        )
    for key, value in attributes.items():
        _check_key(key)
        if not isinstance(value, str):
            raise TypeError(
                f"The attribute {key!r} must be a string, not {type(value).__name__}: {value!r}"
            )
        if (length := _length(value, key)) > MAX_VALUE_BYTES:
            raise ValueError(
                f"The attribute {key!r} is {length} bytes long; Pub/Sub takes {MAX_VALUE_BYTES}."
            )


def _check_key(key: Any) -> None:
    if not isinstance(key, str):
        raise TypeError(f"An attribute's name must be a string, not {key!r}.")
    if not key:
        raise ValueError("An attribute's name must not be empty.")
    if key.startswith("goog"):
        raise ValueError(
            f"The attribute {key!r} begins with `goog`, which Pub/Sub keeps for itself."
        )
    if (length := _length(key, key)) > MAX_KEY_BYTES:
        raise ValueError(
            f"The attribute's name {key!r} is {length} bytes long; Pub/Sub takes {MAX_KEY_BYTES}."
        )


def _length(text: str, key: str) -> int:
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"The attribute {key!r} is not valid Unicode: {error}") from error
