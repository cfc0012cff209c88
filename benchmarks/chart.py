"""Charts of how many times better than Google's client each library is, drawn from a table.

Every bar begins at Google's client.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.results import recorded
from benchmarks.table import FORMER, GOOGLES, OURS, Table

SHOWN = {OURS: "#0b6e99", FORMER: "#b8b8b8"}
"""The libraries that are drawn, and their colours."""

LEFT, RIGHT, TOP, WIDTH = 250, 60, 84, 860
BAR, GAP = 13, 14
FONT = 'font-family="system-ui, sans-serif" font-size="13" fill="#222"'
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Group:
    """One row of the table: how many times better than Google's client each library is."""

    what: str
    times: dict[str, float]


def _groups(table: Table, text: str) -> Iterator[Group]:
    heading, _, *lines = [line.strip("| ").split(" | ") for line in _table_lines(text)]
    place = {name: heading.index(column) for name, column in table.columns.items()}
    compared = {row.what: row for row in table.rows if row.target}
    for cells in lines:
        google, former = (_number(cells[place[name]]) for name in (GOOGLES, FORMER))
        if google and (row := compared.get(cells[0])):
            times = {OURS: _number(cells[heading.index(table.RATIO)])}
            if former:
                times[FORMER] = former / google
            times = {
                name: 1 / value if row.is_cost else value for name, value in times.items() if value
            }
            yield Group(row.what, times)


def _table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def _number(cell: str) -> float:
    found = re.match(r"[\d.,]+", cell)
    return float(found[0].replace(",", "")) if found else 0.0


def svg(title: str, table: Table, text: str) -> str:
    """The chart of what ``table`` has written."""
    groups = list(_groups(table, text))
    values = [value for group in groups for value in group.times.values()]
    low, high = min(0.9, *values) / 1.2, max(2.0, *values) * 1.25
    height = TOP + len(groups) * (BAR * len(SHOWN) + GAP) + 20

    def x(value: float) -> float:
        share = math.log(value / low) / math.log(high / low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        _text(16, 26, title, 'font-size="17" font-weight="600"'),
        *_legend(table),
    ]
    for tick in TICKS:
        if low <= tick <= high:
            colour = "#222" if tick == 1 else "#ddd"
            parts.append(
                f'<path d="M{x(tick):.1f} {TOP - 8}V{height - 14}" stroke="{colour}"/>'
                + _text(x(tick), TOP - 14, f"{tick:g}", 'text-anchor="middle" fill="#555"')
            )
    for number, group in enumerate(groups):
        parts += _drawn(group, TOP + number * (BAR * len(SHOWN) + GAP), x)
    return "\n".join([*parts, "</svg>", ""])


def _legend(table: Table) -> list[str]:
    parts, left = [], LEFT
    for name, colour in SHOWN.items():
        parts.append(f'<rect x="{left}" y="37" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(left + 18, 48, table.columns[name]))
        left += 36 + 8 * len(table.columns[name])
    parts.append(_text(16, 48, "times as fast or as cheap", 'fill="#555"'))
    return parts


def _drawn(group: Group, top: float, x: Callable[[float], float]) -> list[str]:
    middle = top + BAR * len(SHOWN) / 2 + 4
    parts = [_text(LEFT - 14, middle, group.what.replace("`", ""), 'text-anchor="end"')]
    for number, (name, colour) in enumerate(SHOWN.items()):
        if name not in group.times:
            continue
        value, y = group.times[name], top + number * BAR
        ends = sorted((x(1), x(value)))
        parts.append(
            f'<rect x="{ends[0]:.1f}" y="{y}" width="{max(ends[1] - ends[0], 1):.1f}" '
            f'height="{BAR - 1}" fill="{colour}"/>'
        )
        is_left = value < 1
        place = x(value) + (-5 if is_left else 5)
        anchor = 'text-anchor="end"' if is_left else ""
        parts.append(_text(place, y + BAR - 3, f"{value:.3g}", f'font-size="11" {anchor}'))
    return parts


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


@dataclass(frozen=True)
class Chart:
    """The chart of one table in ``RESULTS.md``."""

    name: str
    """Of its place in ``RESULTS.md``, and of its file."""
    title: str
    table: Table

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(__file__).parent / f"{self.name}.svg"

    def svg(self) -> str:
        """The chart of what ``RESULTS.md`` has now."""
        return svg(self.title, self.table, recorded(self.name))

    def draw(self) -> Path:
        """Write the file; return where."""
        self.path.write_text(self.svg(), encoding="utf-8")
        return self.path
