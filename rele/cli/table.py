"""Tables of text, for people."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def aligned(rows: Sequence[Sequence[str]], numbers: frozenset[str] = frozenset()) -> list[str]:
    """The rows as lines of aligned columns, with a rule below the first, which has the headings.

    Args:
        rows: of cells.
        numbers: the headings of the columns that are set to the right.
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
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def age(seconds: float | None) -> str:
    """An age in its largest unit: ``0.4 s``, ``12 s``, ``3 min``, ``5 h``, ``2 d``, or ``-``."""
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= (10 if unit == "s" else size):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
