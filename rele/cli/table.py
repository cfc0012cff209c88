"""Tables and blocks of text, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

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
