"""Encodes objects as the payload of a message, and decodes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from rele.exceptions import NotJSONError, NotUTF8Error

_ENCODER = json.JSONEncoder()
"""Kept, as ``json.dumps`` keeps one: to make an encoder takes longer than to encode a message."""


def encode(data: Any, encoder: type[json.JSONEncoder] = json.JSONEncoder) -> bytes:
    """Turn ``data`` into JSON in UTF-8.

    Raises:
        TypeError: ``data`` contains a value that ``encoder`` cannot encode; the error says what to
            do about it.
        ValueError: ``data`` contains itself.
    """
    try:
        if encoder is json.JSONEncoder:
            return _ENCODER.encode(data).encode("utf-8")
        return json.dumps(data, cls=encoder).encode("utf-8")
    except TypeError as error:
        if advice := _advice(data, encoder):
            error.args = (f"{error}. {advice}",)
        raise


def _advice(data: Any, encoder: type[json.JSONEncoder]) -> str | None:
    """What to do about the value that ``encoder`` cannot encode; ``None`` if there is none."""
    for value in _refused_values(data, encoder):
        return next(advice for applies, advice in _ADVICE if applies(value))
    return None


def _refused_values(data: Any, encoder: type[json.JSONEncoder]) -> list[Any]:
    refused: list[Any] = []
    if not isinstance(encoder, type):  # a function that returns an encoder
        return refused

    class Probe(encoder):  # type: ignore[valid-type, misc]
        def default(self, o: Any) -> Any:
            try:
                return super().default(o)
            except TypeError:
                refused.append(o)
                raise

    with suppress(Exception):  # the caller raises the error itself
        json.dumps(data, cls=Probe)
    return refused


def _is_model(value: Any) -> bool:
    return hasattr(value, "_meta") and hasattr(value, "pk")


def _is_query_set(value: Any) -> bool:
    return hasattr(value, "values_list") and hasattr(value, "query")


def _is_everyday_type_of_django(value: Any) -> bool:
    lazy = any(base.__name__ == "Promise" for base in type(value).__mro__)
    return lazy or isinstance(value, (datetime, date, time, timedelta, Decimal, UUID))


_ADVICE: Sequence[tuple[Callable[[Any], bool], str]] = (
    (_is_model, "Publish its id, or a dict of the fields that a handler needs."),
    (_is_query_set, "Publish a list of dicts: list(queryset.values())."),
    (
        _is_everyday_type_of_django,
        (
            'Set RELE["ENCODER_PATH"] = "django.core.serializers.json.DjangoJSONEncoder", which '
            "encodes it, or name your own encoder there."
        ),
    ),
    (
        lambda value: True,
        'Publish only values that JSON has, or name an encoder for it in RELE["ENCODER_PATH"].',
    ),
)
"""What to do about a value: the first that applies counts. Recognised without importing Django,
which may not be installed."""


def decode(payload: bytes) -> Any:
    """Turn the bytes of a message back into the object that was published.

    Raises:
        NotUTF8Error: they are not UTF-8.
        NotJSONError: they are UTF-8, but not JSON, or JSON that Python cannot read, since it is
            nested too deep (RecursionError) or has a number with too many digits (ValueError).
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
