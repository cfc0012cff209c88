"""What decodes payloads: JSON, the fast library with the same results, functions, and nothing."""

from __future__ import annotations

import builtins
import json
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rele.exceptions import CodecError, DecodeError
from rele.messages.codec import decode, decoder
from tests.support.json_values import EDGES, are_same

Answer = tuple[str, Any]

NUMBERS = (
    st.integers()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.sampled_from([2**63, -(2**63), 2**64, 2**53 + 1]).flatmap(
        lambda edge: st.integers(edge - 2, edge + 2)
    )
    | st.floats()
)
TEXT = st.text() | st.text(st.characters(codec=None))  # with surrogates
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)
NUMBER_TEXTS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
).filter(str.isascii)
PIECES = st.sampled_from(
    [
        *'{}[],:"\\ \n\t\0\x1f\x7fä\u2028\ufeff',
        *("1", "-", ".5", "e9", "9" * 19, "NaN", "Infinity", "null", "true", '"a"'),
        *("\\u", "d83d", "\\ude00", "\\ud800"),
    ]
)


def of_json(payload: bytes) -> Answer:
    """What the standard library says."""
    try:
        return "value", json.loads(payload.decode("utf-8"))
    except (ValueError, RecursionError):
        return "error", None


def answer_of(decode: Callable[[bytes], Any], payload: bytes) -> Answer:
    """What a decoder says, whose errors are DecodeErrors."""
    try:
        return "value", decode(payload)
    except DecodeError:
        return "error", None


def differing(payload: bytes) -> list[str]:
    """The decoders that do not do as ``json.loads``."""
    kind, value = of_json(payload)
    answers = {
        "Relé's": answer_of(decode, payload),
        "the fast": answer_of(decoder("json"), payload),
    }
    return [
        name
        for name, (its_kind, its_value) in answers.items()
        if its_kind != kind or not are_same(its_value, value)
    ]


def test_with_the_fast_library_installed_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoder("json") is not decode
    called: list[bytes] = []

    class Decoder:
        def decode(self, payload: bytes) -> Any:
            called.append(payload)

    monkeypatch.setattr(msgspec.json, "Decoder", Decoder)

    decoder("json")(b"{}")

    assert called == [b"{}"]


def test_without_the_fast_library_it_is_the_standard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "msgspec":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)

    assert decoder("json") is decode
    assert decoder("json")(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("name", EDGES)
def test_at_the_edges_all_decoders_do_as_the_json_module(name: str) -> None:
    assert differing(EDGES[name]) == []


@pytest.mark.parametrize(
    "name", [name for name, payload in EDGES.items() if of_json(payload)[0] == "error"]
)
def test_what_is_no_json_is_the_same_error_with_each(name: str) -> None:
    errors = []
    for each in (decode, decoder("json")):
        with pytest.raises(DecodeError) as raised:
            each(EDGES[name])
        errors.append((type(raised.value), str(raised.value)))

    assert errors[0] == errors[1]


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_json_writes_is_read_alike(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    assert differing(text.encode("utf-8", "surrogatepass")) == []


@given(st.lists(NUMBER_TEXTS, min_size=1))
def test_any_number_is_read_alike(numbers: list[str]) -> None:
    assert differing(f"[{', '.join(numbers)}]".encode()) == []


@given(st.lists(PIECES))
def test_pieces_of_json_are_read_alike(pieces: list[str]) -> None:
    assert differing("".join(pieces).encode()) == []


@given(VALUES, st.data())
def test_json_with_a_byte_that_was_changed_is_read_alike(value: Any, data: st.DataObject) -> None:
    payload = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] = data.draw(st.integers(0, 255))

    assert differing(bytes(payload)) == []


@given(st.binary())
def test_any_bytes_are_read_alike(payload: bytes) -> None:
    assert differing(payload) == []


@given(st.binary())
def test_bytes_are_as_they_are(payload: bytes) -> None:
    assert decoder("bytes")(payload) is payload


class Exact(json.JSONDecoder):
    """Reads floats as decimals."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "parse_float": Decimal})


def test_the_class_of_the_project_decodes() -> None:
    decode = decoder("json", Exact)

    assert decode(b"[1.10]") == [Decimal("1.10")]
    with pytest.raises(json.JSONDecodeError, match="not JSON in UTF-8") as raised:
        decode(b"[1.10")
    assert isinstance(raised.value, DecodeError)


@pytest.mark.parametrize(
    "make", [lambda function: decoder("json", function), decoder], ids=["project's", "own"]
)
class TestFunctions:
    def test_it_gets_the_payload(self, make: Callable[[Any], Callable[[bytes], Any]]) -> None:
        assert make(lambda payload: payload[::-1])(b"abc") == b"cba"

    @pytest.mark.parametrize("error", [ValueError("odd"), RecursionError("deep")], ids=repr)
    def test_a_value_error_means_that_the_payload_is_unreadable(
        self, make: Callable[[Any], Callable[[bytes], Any]], error: Exception
    ) -> None:
        def read(payload: bytes) -> Any:
            raise error

        with pytest.raises(CodecError) as raised:
            make(read)(b"abc")

        assert isinstance(raised.value, (DecodeError, ValueError))
        assert raised.value.__cause__ is error
        assert str(raised.value) == (
            f"The codec {__name__}.{read.__qualname__} cannot read the payload: {error!r}"
        ).replace("('", ": ").replace("')", "")
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)

    def test_a_decode_error_of_its_own_is_raised_as_it_is(
        self, make: Callable[[Any], Callable[[bytes], Any]]
    ) -> None:
        class OwnError(DecodeError):
            pass

        def read(payload: bytes) -> Any:
            raise OwnError

        with pytest.raises(OwnError):
            make(read)(b"abc")

    def test_any_other_error_is_the_projects(
        self, make: Callable[[Any], Callable[[bytes], Any]]
    ) -> None:
        with pytest.raises(AttributeError):
            make(lambda payload: payload.nothing)(b"abc")


def test_a_codec_of_the_subscription_counts_before_the_projects() -> None:
    assert decoder("bytes", Exact)(b"1.5") == b"1.5"
    assert decoder(len, Exact)(b"1.5") == 3
