"""Hypothesis strategies for protobuf messages of any type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message as ProtobufMessage
from hypothesis import strategies as st

Texts = Mapping[str, list[str]]
"""Texts worth trying, by the field that they are for, as ``MESSAGE.FIELD`` or ``FIELD``.

Such a field is nearly always set, and nearly always to one of them. Those of ``""`` are for every
other field.
"""

_NEARLY_ALWAYS = st.sampled_from([True] * 9 + [False])

_INTEGERS = {"INT32": 31, "INT64": 63, "UINT32": 32, "UINT64": 64}

_EDGES = [0, 1, -1, 5, 9, 10, 599, 600, 601, 1000, 86400]


@st.composite
def messages(draw: st.DrawFn, kind: Any, texts: Texts, depth: int = 4) -> Any:
    """A message of the class ``kind`` with a few of its fields set: one too many is refused."""
    message = kind()
    _fill(draw, message, texts, depth)
    return message


def broken(message: ProtobufMessage, at: int, junk: bytes, *, cut: bool) -> bytes:
    """The bytes of a message with others in their midst, or in place of the rest."""
    encoded: bytes = message.SerializeToString()
    at %= len(encoded) + 1
    return encoded[:at] + junk + (b"" if cut else encoded[at:])


def _fill(draw: st.DrawFn, message: ProtobufMessage, texts: Texts, depth: int) -> None:
    fields = message.DESCRIPTOR.fields
    chosen = [each.name for each in draw(st.permutations(list(fields)))[: draw(st.integers(0, 3))]]
    for field in fields:
        wanted = _is_wanted(field, texts) and draw(_NEARLY_ALWAYS)
        if not wanted and field.name not in chosen:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(draw, field, value, texts)
        elif field.message_type is None and not hasattr(value, "append"):
            setattr(message, field.name, draw(_scalar(field, texts)))
        elif field.message_type is None:
            value.extend(draw(st.lists(_scalar(field, texts), max_size=3)))
        elif depth:
            repeated = hasattr(value, "add")
            for _ in range(draw(st.integers(1, 2)) if repeated else 1):
                part = value.add() if repeated else value
                part.SetInParent()
                _fill(draw, part, texts, depth - 1)


def _fill_map(draw: st.DrawFn, field: Any, value: Any, texts: Texts) -> None:
    key, entry = field.message_type.fields
    for name in draw(st.lists(_scalar(key, texts), max_size=3)):
        if entry.message_type is None:
            value[name] = draw(_scalar(entry, texts))
        else:
            value[name].SetInParent()


def _scalar(field: Any, texts: Texts) -> st.SearchStrategy[Any]:
    """A value of a field's type, often one at the edge of what is allowed."""
    kind = {number: name for name, number in _types(field).items()}[field.type]
    if kind == "STRING":
        # No surrogates, which are no text.
        anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        anything |= st.sampled_from(texts[""])
        likely = _texts_of(field, texts)
        if likely is None:
            return anything
        return _NEARLY_ALWAYS.flatmap(lambda yes: st.sampled_from(likely) if yes else anything)
    if kind in _INTEGERS:
        bits = _INTEGERS[kind]
        low = 0 if kind.startswith("U") else -(2**bits)
        edges = [edge for edge in _EDGES if edge >= low]
        return st.sampled_from(edges) | st.integers(low, 2**bits - 1)
    if kind == "ENUM":
        return st.integers(-1, 10)
    return {
        "BOOL": st.booleans(),
        "BYTES": st.binary(max_size=20),
        "DOUBLE": st.floats(),
        "FLOAT": st.floats(width=32),
    }[kind]


def _is_wanted(field: Any, texts: Texts) -> bool:
    """Whether a request without it would be refused at once."""
    inner = field.message_type.fields if field.message_type is not None else ()
    return _texts_of(field, texts) is not None or any(_qualified(each) in texts for each in inner)


def _texts_of(field: Any, texts: Texts) -> list[str] | None:
    return texts.get(_qualified(field), texts.get(field.name))


def _qualified(field: Any) -> str:
    return f"{field.containing_type.name}.{field.name}"


def _types(field: Any) -> dict[str, int]:
    prefix = "TYPE_"
    return {
        name.removeprefix(prefix): getattr(field, name)
        for name in dir(type(field))
        if name.startswith(prefix)
    }
