"""From an object to the bytes of a message, and back."""

from __future__ import annotations

import json
from typing import Any

from rele.exceptions import NotJSONError, NotUTF8Error


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
        NotUTF8Error: they are not UTF-8.
        NotJSONError: they are, but no JSON, or nested too deep (RecursionError), or with a number
            of too many digits (ValueError).
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUTF8Error(*error.args) from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        position = getattr(error, "pos", 0)
        raise NotJSONError(f"The payload is not JSON in UTF-8: {reason}", text, position) from error
