"""Tables and blocks of text, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rele.cli.style import PLAIN, Style

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_INDENT = "  "


def aligned(
    rows: Sequence[Sequence[str]], numbers: frozenset[str] = frozenset(), style: Style = PLAIN
) -> list[str]:
    """The rows as lines of aligned columns, with a rule below the first, which has the headings.

    Args:
        rows: of cells.
        numbers: the headings of the columns that are set to the right.
        style: of the headings.
    """
    headings = rows[0]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if heading in numbers else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    return [style.bold(lines[0]), style.dim(rule), *lines[1:]]


@dataclass(frozen=True)
class Cut:
    """How the cells of a column are cut where they do not fit."""

    side: Literal["left", "right"]
    """Where the ellipsis is put."""
    least: int
    """Characters that are left, at least."""


def fitted(
    rows: Sequence[Sequence[str]], width: int | None, cuts: Mapping[str, Cut]
) -> list[list[str]]:
    """The rows for :func:`aligned`, with cells cut so that its lines fit ``width`` if possible.

    The widest of the columns that may be cut gives way first.

    Args:
        rows: of cells; the first has the headings.
        width: in characters; ``None``: nothing is cut.
        cuts: by the heading of the column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    least = {place: cuts[each].least for place, each in enumerate(rows[0]) if each in cuts}
    excess = 0 if width is None else sum(widths) + 2 * (len(widths) - 1) - width
    while excess > 0:
        places = [place for place in least if widths[place] > least[place]]
        if not places:
            break
        widths[max(places, key=widths.__getitem__)] -= 1
        excess -= 1
    return [
        [
            _cut(cell, width, cuts[heading].side) if heading in cuts else cell
            for cell, width, heading in zip(row, widths, rows[0], strict=True)
        ]
        for row in rows
    ]


def _cut(text: str, width: int, side: Literal["left", "right"]) -> str:
    if len(text) <= width:
        return text
    return f"…{text[1 - width :]}" if side == "left" else f"{text[: width - 1]}…"


def block(
    title: str, fields: Sequence[tuple[str, str]], width: int, style: Style = PLAIN
) -> Iterator[str]:
    """The lines of a title and the labelled values below it, none wider than ``width``.

    A value that is too long goes on in the next line. A single word is never broken, since a name
    has to be copied whole.
    """
    yield style.bold(title)
    label_width = max(len(label) for label, _ in fields)
    beside = width - 2 * len(_INDENT) - label_width
    for label, value in fields:
        shown = style.dim(label.ljust(label_width))
        for line in _wrapped(value, beside):
            yield f"{_INDENT}{shown}{_INDENT}{line}"
            shown = " " * label_width


def age(seconds: float | None) -> str:
    """An age in its largest unit: ``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``2 d``, or ``-``."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= (10 if unit == "s" else size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)
    return lines or [""]
