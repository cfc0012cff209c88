"""From an object to the bytes of a message, and back."""

from __future__ import annotations

import json
from typing import Any

from rele.exceptions import DecodeError


def encode(data: Any, encoder: type[json.JSONEncoder] = json.JSONEncoder) -> bytes:
    """Turn ``data`` into JSON in UTF-8.

    Raises:
        TypeError: ``data`` holds something that ``encoder`` does not know.
        ValueError: ``data`` contains itself.
    """
    return json.dumps(data, cls=encoder).encode("utf-8")


def decode(payload: bytes) -> Any:
    """Turn the bytes of a message back into the object that was published.

    Raises:
        DecodeError: for whatever is wrong with the bytes: not UTF-8, not JSON, nested too deep
            (RecursionError), a number of too many digits (ValueError).
    """
    try:
        return json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"The payload is not JSON in UTF-8: {error}") from error
