"""Dead letters, for people and as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from rele.cli.style import Style
from rele.cli.table import Cut, age, aligned, block, fitted
from rele.deadletters.letter import Group, Letter

_NUMBERS = frozenset({"Letters", "Attempts", "Dead for", "Oldest"})
_CUTS = {"Handler": Cut("left", 12), "Error": Cut("right", 20)}
"""What is cut for a narrow terminal, in this order: the error says most."""
_UNKNOWN = "-"


def list_lines(
    letters: Sequence[Letter], now: datetime, style: Style, width: int | None
) -> list[str]:
    """A line for each letter, below headings; cut to fit ``width``, if it is given."""
    rows = [
        (
            letter.message_id,
            _UNKNOWN if letter.attempts is None else str(letter.attempts),
            _age(letter, now),
            printable(letter.handler or _UNKNOWN),
            printable(_error(letter, is_short=width is not None)),
        )
        for letter in letters
    ]
    return _table(("Message", "Attempts", "Dead for", "Handler", "Error"), rows, style, width)


def group_lines(
    groups: Sequence[Group], now: datetime, style: Style, width: int | None
) -> list[str]:
    """A line for each group, below headings, with the error of its oldest letter."""
    rows = [
        (
            f"{len(group.letters):,}",
            _age(group.oldest, now),
            printable(group.oldest.handler or _UNKNOWN),
            printable(_error(group.oldest, is_short=width is not None)),
        )
        for group in groups
    ]
    return _table(("Letters", "Oldest", "Handler", "Error"), rows, style, width)


def letter_lines(letter: Letter, now: datetime, style: Style, width: int) -> Iterator[str]:
    """All of a letter: a title with fields, its attributes and its data."""
    fields = [
        ("From", letter.source or _UNKNOWN),
        ("Published", f"{letter.published:%Y-%m-%d %H:%M:%S} UTC"),
        ("Dead since", f"{letter.dead_since:%Y-%m-%d %H:%M:%S} UTC ({_age(letter, now)})"),
        ("Attempts", _UNKNOWN if letter.attempts is None else str(letter.attempts)),
        ("Handler", printable(letter.handler or _UNKNOWN)),
        ("Error", printable(letter.error_or_reason)),
        ("Ordering key", printable(letter.ordering_key) or _UNKNOWN),
    ]
    yield from block(f"Dead letter {letter.message_id}", fields, width, style)
    yield style.bold("Attributes")
    attributes = sorted(letter.original_attributes.items())
    yield from (f"  {printable(name)}={printable(value)}" for name, value in attributes)
    yield style.bold(f"Data ({len(letter.data):,} bytes)")
    yield from (f"  {line}" for line in _data_lines(letter.data))


def as_json(letter: Letter, *, with_data: bool = False) -> dict[str, Any]:
    """The letter as values for JSON."""
    content: dict[str, Any] = {
        "message_id": letter.message_id,
        "source": letter.source,
        "attempts": letter.attempts,
        "published": letter.published.isoformat(),
        "dead_since": letter.dead_since.isoformat(),
        "error_type": letter.error_type,
        "error": letter.error,
        "handler": letter.handler,
        "ordering_key": letter.ordering_key,
        "attributes": letter.original_attributes,
    }
    if with_data:
        text = _text_of(letter.data)
        if text is None:
            content["data_base64"] = base64.b64encode(letter.data).decode("ascii")
        else:
            content["data"] = text
    return content


def group_as_json(group: Group) -> dict[str, Any]:
    """The group as values for JSON."""
    oldest = group.oldest
    return {
        "letters": len(group.letters),
        "error_type": oldest.error_type,
        "error": oldest.error,
        "handler": oldest.handler,
        "oldest": as_json(oldest),
        "message_ids": [letter.message_id for letter in group.letters],
    }


def printable(text: str) -> str:
    """The text in one line, without characters that a terminal obeys."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], style: Style, width: int | None
) -> list[str]:
    shown: Sequence[Sequence[str]] = [headings, *rows]
    for heading, cut in _CUTS.items():
        shown = fitted(shown, width, {heading: cut})
    return aligned(shown, _NUMBERS, style)


def _error(letter: Letter, *, is_short: bool) -> str:
    """The error, or why it is not known; in short without the module of its class."""
    text = letter.error_or_reason
    module, dot, _ = (letter.error_type or "").rpartition(".")
    return text.removeprefix(f"{module}{dot}") if is_short else text


def _age(letter: Letter, now: datetime) -> str:
    return age(max((now - letter.dead_since).total_seconds(), 0.0))


def _data_lines(data: bytes) -> list[str]:
    text = _text_of(data)
    if text is None:
        return [repr(data)]
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return [printable(line) for line in text.splitlines()] or [""]


def _text_of(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
