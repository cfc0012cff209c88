"""Encodes objects as the payload of a message, and decodes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from rele.exceptions import CodecError, DecodeError, NotJSONError, NotUTF8Error
from rele.schema.callables import dotted_path

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


Decode = Callable[[bytes], Any]
"""Turns a payload into a handler's data; raises a DecodeError where the payload is unreadable."""

Codec = str | Decode
"""How a subscription's payloads are decoded: ``"json"``, ``"bytes"`` or a function."""

_DECODER = json.JSONDecoder()

_SPACES = " \t\n\r"


def decoder(codec: Codec = "json", json_decoder: Callable[..., Any] = json.JSONDecoder) -> Decode:
    """What decodes the payloads of a subscription.

    Args:
        codec: as the subscription states it.
        json_decoder: what ``"json"`` stands for: ``json.JSONDecoder``, a subclass of it, or a
            function of the payload.
    """
    if codec == "bytes":
        return as_it_is
    if callable(codec):
        return _reporting(codec)
    if json_decoder is json.JSONDecoder:
        return _fast_decoder() or decode
    if isinstance(json_decoder, type) and issubclass(json_decoder, json.JSONDecoder):
        return partial(decode, decoder=json_decoder)
    return _reporting(json_decoder)


def decode(payload: bytes, decoder: type[json.JSONDecoder] = json.JSONDecoder) -> Any:
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
        if decoder is not json.JSONDecoder:
            return json.loads(text, cls=decoder)
        # As json.loads(), which first looks for spaces around the value: seldom there are any.
        try:
            value, end = _DECODER.raw_decode(text)
        except ValueError:
            return json.loads(text)
        return value if end == len(text) or not text[end:].strip(_SPACES) else json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        position = getattr(error, "pos", 0)
        raise NotJSONError(f"The payload is not JSON in UTF-8: {reason}", text, position) from error


def as_it_is(payload: bytes) -> bytes:
    """What the codec ``"bytes"`` decodes with."""
    return payload


def _fast_decoder() -> Decode | None:
    """A decoder with the results of :func:`decode`, several times as fast, if msgspec is installed.

    What msgspec refuses, :func:`decode` looks at: it reads more (``NaN``, ``1e400``, half of a
    surrogate pair), and has its own errors. What msgspec reads, it reads as :func:`decode` does.
    orjson would not: it rounds an integer beyond 64 bits to a float.
    """
    try:
        from msgspec import MsgspecError
        from msgspec.json import Decoder
    except ImportError:
        return None
    fast = Decoder().decode

    def decode_fast(payload: bytes) -> Any:
        try:
            return fast(payload)
        except (MsgspecError, ValueError, RecursionError):
            return decode(payload)

    return decode_fast


def _reporting(function: Callable[[bytes], Any]) -> Decode:
    """The ``function`` of a project, with a DecodeError where it says that it cannot read bytes."""

    def decode_by_function(payload: bytes) -> Any:
        try:
            return function(payload)
        except DecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise CodecError(dotted_path(function), error) from error

    return decode_by_function
