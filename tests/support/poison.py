"""Messages that nobody should send: a corpus with a name for each, and a generator of more."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

LARGEST = 10 * 1024 * 1024
"""Bytes of data that Pub/Sub accepts in a message."""


@dataclass(frozen=True)
class Poison:
    """What a publisher can put into a message."""

    data: bytes = b"{}"
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""


def _payloads(**data: bytes) -> dict[str, Poison]:
    return {name.replace("_", " "): Poison(each) for name, each in data.items()}


UNDECODABLE = {
    "nothing at all": Poison(b""),
    "only attributes": Poison(b"", {"lang": "en"}),
    **_payloads(
        spaces=b"   ",
        null_bytes=b"\0\0\0",
        byte_that_is_never_utf_8=b'"\xff"',
        utf_8_cut_off=b'"\xe2\x82',
        utf_8_continuation_alone=b'"\x80"',
        utf_8_overlong=b'"\xc0\xaf"',
        utf_8_of_a_lone_surrogate=b'"\xed\xa0\x80"',
        utf_8_of_a_surrogate_pair=b'"\xed\xa0\xbd\xed\xb8\x80"',
        utf_8_beyond_unicode=b'"\xf4\x90\x80\x80"',
        latin_1='"café"'.encode("latin-1"),
        utf_8_with_bom=b"\xef\xbb\xbf{}",
        utf_16_with_bom="{}".encode("utf-16"),
        utf_16_bom_alone=b"\xff\xfe",
        utf_16_without_bom="{}".encode("utf-16-le"),
        utf_32_with_bom="{}".encode("utf-32"),
        nested_lists=b"[" * 100_000 + b"]" * 100_000,
        nested_lists_without_end=b"[" * 100_000,
        nested_objects=b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        nested_objects_without_end=b'{"a":' * 100_000,
        integer_of_10_000_digits=b"9" * 10_000,
        negative_integer_of_10_000_digits=b"-" + b"9" * 10_000,
        leading_zero=b"01",
        plus_sign=b"+1",
        hexadecimal=b"0x1f",
        number_cut_off=b"1.e",
        minus_alone=b"-",
        garbage_at_the_end=b'{"id": 1}garbage',
        null_byte_at_the_end=b'{"id": 1}\0',
        two_documents=b'{"id": 1}\n{"id": 2}\n',
        object_cut_off=b'{"id": 1',
        string_cut_off=b'{"id": "a',
        escape_cut_off=b'"\\u12"',
        unknown_escape=b'"\\q"',
        newline_in_a_string=b'"a\nb"',
        null_byte_in_a_string=b'"a\0b"',
        comma_at_the_end=b'{"id": 1,}',
        line_comment=b'{"id": 1} // one',
        block_comment=b'/* one */ {"id": 1}',
        single_quotes=b"{'id': 1}",
        key_without_quotes=b"{id: 1}",
        python_literal=b"None",
        format_string=b"%s %(name)s {} {0.__class__}",
        xml=b'<?xml version="1.0"?><order id="1"/>',
        pickle=pickle.dumps({"id": 1}),
        gzip=gzip.compress(b'{"id": 1}', mtime=0),
    ),
}
"""What is no JSON in UTF-8, or none that Python reads."""

WRONG_TYPES = _payloads(
    null=b"null",
    true=b"true",
    number=b"-1",
    fraction=b"1.5",
    not_a_number=b"NaN",
    infinity=b"Infinity",
    negative_infinity=b"-Infinity",
    number_beyond_a_float=b"1e999999",
    integer_of_4_300_digits=b"9" * 4_300,
    string=b'"id"',
    empty_string=b'""',
    escaped_null_byte=b'"\\u0000"',
    escaped_lone_surrogate=b'"\\ud800"',
    escaped_line_and_terminal_codes=b'"\\n\\r\\u001b[2J\\u2028"',
    text_from_right_to_left='"\u202eabc"'.encode(),
    string_for_the_formatting=b'"%s %d %(name)s {} {0.__class__}"',
    list=b"[]",
    list_of_lists=b"[[[[1]]]]",
    nested_lists_below_the_limit=b"[" * 200 + b"]" * 200,
)
"""JSON, but no object, where a handler wants one."""

WRONG_OBJECTS = _payloads(
    empty_object=b"{}",
    duplicate_keys=b'{"id": 1, "id": [], "id": "x"}',
    id_that_is_null=b'{"id": null}',
    id_that_is_an_object=b'{"id": {}}',
    id_that_is_no_number=b'{"id": NaN}',
    key_without_letters=b'{"": 1}',
    key_of_a_null_byte=b'{"\\u0000": 1}',
    key_of_a_lone_surrogate=b'{"\\udfff": 1}',
    keys_that_python_knows=b'{"__class__": 1, "__init__": {"__globals__": 1}}',
    nested_objects_below_the_limit=b'{"a":' * 200 + b"1" + b"}" * 200,
)
"""JSON objects without what a handler wants."""

_NAMES_OF_PARAMETERS = (
    "self",
    "cls",
    "data",
    "message",
    "subscription",
    "func",
    "args",
    "kwargs",
    "attributes",
    "attrs",
    "topic",
    "filter_by",
    "start_time",
    "exception",
    "ordering_key",
    "connection",
)

_TIMES = ("", "yesterday", "NaN", "-Infinity", "1e999999", "9" * 1024, "1_000", "٢", "\0", "None")

_ODD_NAMES = (
    " ",
    "a b",
    "a.b",
    "a-b",
    "1",
    "class",
    "lambda",
    "None",
    "__class__",
    "metrics",
    "%s",
    "%(name)s",
    "{0}",
    "ä",
    "名前",
    "💥",
    "\u202e",
    "\0",
    "\n",
    "\x1b[2J",
    "x" * 256,
)

_ODD_VALUES = ("", " ", "\0", "\r\nERROR forged", "\x1b[2J", "%s %d", "{}", "💥" * 256, "x" * 1024)

ODD_ATTRIBUTES = {
    **{f"attribute {name!r}": Poison(b"{}", {name: "x"}) for name in _NAMES_OF_PARAMETERS},
    **{f"published_at {time[:9]!r}": Poison(b"{}", {"published_at": time}) for time in _TIMES},
    **{f"attribute {name[:9]!r}": Poison(b"{}", {name: "x"}) for name in _ODD_NAMES},
    **{f"value {value[:9]!r}": Poison(b"{}", {"name": value}) for value in _ODD_VALUES},
    "all names of parameters": Poison(b"{}", dict.fromkeys(_NAMES_OF_PARAMETERS, "x")),
    "attribute without a name": Poison(b"{}", {"": "x"}),
    "100 attributes of the greatest length": Poison(
        b"{}", {f"{number:0256}": "x" * 1024 for number in range(100)}
    ),
}
"""Attributes that Python, a log or a handler may stumble over."""

ODD_ORDERING_KEYS = {
    f"ordering key {key[:9]!r}": Poison(b"{}", {}, key)
    for key in (" ", "\0", "\r\n", "%s", "{}", "None", "💥" * 256, "x" * 1024)
}

DECODABLE = {**WRONG_TYPES, **WRONG_OBJECTS, **ODD_ATTRIBUTES, **ODD_ORDERING_KEYS}
"""What reaches a handler."""

CORPUS = {**UNDECODABLE, **DECODABLE}


def large_undecodable() -> dict[str, Poison]:
    """As UNDECODABLE, of megabytes, and so made only where they are used."""
    return _payloads(
        integer_of_5_000_000_digits=b"[" + b"1" * 5_000_000 + b"]",
        nested_lists_of_10_MB=b"[" * LARGEST,
        null_bytes_of_10_MB=b"\0" * LARGEST,
        no_utf_8_of_10_MB=b'"' + b"\xff" * (LARGEST - 1),
        string_without_end_of_10_MB=b'"' + b"x" * (LARGEST - 1),
    )


def large_decodable() -> dict[str, Poison]:
    """As WRONG_TYPES, of megabytes."""
    return _payloads(
        exponent_of_5_000_000_digits=b"1e" + b"9" * 5_000_000,
        fraction_of_5_000_000_digits=b"0." + b"3" * 5_000_000,
        hundred_thousand_keys=b"[{" + b",".join(b'"%d":1' % key for key in range(100_000)) + b"}]",
        million_lists=b"[" + b"[]," * 999_999 + b"[]]",
        string_of_10_MB=_string_of_size("x", LARGEST),
        string_of_null_bytes_of_10_MB=_string_of_size("\\u0000", LARGEST),
        string_that_is_not_ascii_of_10_MB=_string_of_size("💥", LARGEST),
    )


REFUSED_BY_SERVERS = ("nothing at all", "attribute without a name")
"""What Pub/Sub takes from no publisher, but a worker could be given by another server."""


def _string_of_size(character: str, size: int) -> bytes:
    encoded = character.encode()
    return b'"' + encoded * ((size - 2) // len(encoded)) + b'"'


def poisons() -> st.SearchStrategy[Poison]:
    """More of them: bytes, JSON with something wrong, and any attributes."""
    return st.builds(Poison, _data(), _attributes(), _texts())


def _data() -> st.SearchStrategy[bytes]:
    small = [poison.data for poison in CORPUS.values() if len(poison.data) < 1024]
    good = _json_values().map(lambda value: json.dumps(value).encode())
    start = good | st.sampled_from(small)
    junk = st.binary(max_size=4) | st.sampled_from([b'"', b"[", b"{", b"\0", b"\xed\xa0", b"\\u"])
    return st.binary() | start | st.builds(_broken, start, st.integers(0), junk, st.booleans())


def _broken(data: bytes, at: int, junk: bytes, cut: bool) -> bytes:
    """The same with ``junk`` in its midst, or in place of the rest."""
    at %= len(data) + 1
    return data[:at] + junk + (b"" if cut else data[at:])


def _json_values() -> st.SearchStrategy[object]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
        max_leaves=5,
    )


def _attributes() -> st.SearchStrategy[dict[str, str]]:
    names = st.sampled_from([*_NAMES_OF_PARAMETERS, "published_at", *_ODD_NAMES]) | _texts()
    values = st.sampled_from([*_TIMES, *_ODD_VALUES]) | st.floats().map(str) | _texts()
    return st.dictionaries(names, values, max_size=5)


def _texts() -> st.SearchStrategy[str]:
    """What is text to Protocol Buffers: anything but surrogates."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
