from __future__ import annotations

import json
import pickle
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from rele.exceptions import DecodeError
from rele.messages.codec import decode, encode
from testproject.gallery.models import Photo

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(JSON)
def test_what_was_encoded_decodes_to_the_same(data: Any) -> None:
    assert decode(encode(data)) == data


def test_the_payload_is_json_in_utf_8() -> None:
    assert json.loads(encode({"a": "ö"}).decode("utf-8")) == {"a": "ö"}


def test_the_encoder_class_is_used() -> None:
    class Encoder(json.JSONEncoder):
        def default(self, o: Any) -> Any:
            return str(o)

    uuid = UUID(int=1)

    assert decode(encode({"id": uuid}, Encoder)) == {"id": str(uuid)}
    with pytest.raises(TypeError):
        encode({"id": uuid})


BY_DJANGO = 'Set RELE["ENCODER_PATH"] = "django.core.serializers.json.DjangoJSONEncoder", which'


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (datetime(2024, 5, 1, tzinfo=timezone.utc), BY_DJANGO),
        (date(2024, 5, 1), BY_DJANGO),
        (timedelta(1), BY_DJANGO),
        (UUID(int=1), BY_DJANGO),
        (Decimal("1.5"), BY_DJANGO),
        (gettext_lazy("paid"), BY_DJANGO),
        (Photo(id=1), "Publish its id, or a dict of the fields that a handler needs."),
        (Photo.objects.none(), "Publish a list of dicts: list(queryset.values())."),
        (
            {1},
            'Publish only values that JSON has, or name an encoder for it in RELE["ENCODER_PATH"].',
        ),
    ],
)
def test_what_json_has_not_is_refused_with_what_helps(value: Any, advice: str) -> None:
    with pytest.raises(TypeError) as raised:
        encode({"orders": [1, {"value": value}]})

    assert str(raised.value).startswith(
        f"Object of type {type(value).__name__} is not JSON serializable. {advice}"
    )
    assert "DjangoJSONEncoder" not in advice or encode(value, DjangoJSONEncoder)


def test_a_key_that_json_has_not_keeps_its_error() -> None:
    with pytest.raises(TypeError, match=r"keys must be str, .*not UUID$"):
        encode({UUID(int=1): 1})


def test_an_encoder_that_is_no_class_fails_as_it_did() -> None:
    def make_encoder(**options: Any) -> json.JSONEncoder:
        return json.JSONEncoder(**options)

    with pytest.raises(TypeError, match=r"^Object of type set is not JSON serializable$"):
        encode({1}, make_encoder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"\xef\xbb\xbf{}",
        pytest.param(b"[" * 100_000, id="nested too deep"),
        pytest.param(b"1" * 10_000, id="too many digits"),
    ],
)
def test_what_is_utf_8_but_no_json_is_the_error_of_the_json_module(payload: bytes) -> None:
    with pytest.raises(json.JSONDecodeError, match="not JSON in UTF-8") as raised:
        decode(payload)

    assert isinstance(raised.value, DecodeError)
    assert raised.value.doc == payload.decode("utf-8")
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_what_is_no_utf_8_is_pythons_own_error() -> None:
    with pytest.raises(UnicodeDecodeError, match=r"not JSON in UTF-8: .* byte 0xff") as raised:
        decode(b"{}\xff")

    assert isinstance(raised.value, DecodeError)
    assert raised.value.start == 2
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@given(st.binary())
def test_nothing_but_a_decode_error_is_raised(payload: bytes) -> None:
    with suppress(DecodeError):
        decode(payload)
