"""The figures of several libraries as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One figure of one measure, and what is asked of it."""

    what: str
    measure: str
    figure: str
    unit: str
    target: str = ""
    """Of the ratio to Google's client, or with a unit of the figure itself."""
    is_cost: bool = False
    """Whether less is better."""


Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""For each library the figures of each round."""

OURS, GOOGLES, FORMER = "rele", "google", "rele-1"

HEADINGS = {
    OURS: "Relé",
    "rele-on-google": 'Relé, `"google"`',
    GOOGLES: "Google's client",
    FORMER: "rele 1.17.2",
    "repid": "repid 2.1.4",
    "stub": "stubs",
}

COMPARED = {FORMER: "Relé / 1.17.2", "repid": "Relé / repid"}
"""Headings of the ratios to other libraries than Google's client."""


@dataclass(frozen=True)
class Table:
    """How the figures of some libraries are compared.

    Args:
        libraries: those of :data:`HEADINGS` that are compared.
        rows: one for each figure.
    """

    libraries: Sequence[str]
    rows: Sequence[Row]

    RATIO = "Relé / Google's"

    @property
    def columns(self) -> Mapping[str, str]:
        """The headings of the libraries."""
        return {each: HEADINGS[each] for each in HEADINGS if each in self.libraries}

    @property
    def compared(self) -> Mapping[str, str]:
        """The headings of the ratios to other libraries than Google's client."""
        return {each: COMPARED[each] for each in COMPARED if each in self.libraries}

    def text(self, figures: Mapping[str, Rounds]) -> str:
        """Medians of the rounds; a ratio is the median of the rounds' ratios."""
        headings = ["what", *self.columns.values(), self.RATIO, "target", *self.compared.values()]
        lines = [f"| {' | '.join(headings)} |", "| --- |" + " --- |" * (len(headings) - 1)]
        for row in self.rows:
            if rounds := figures.get(row.measure):
                lines.append(self._line(row, rounds))
        return "\n".join(lines)

    def _line(self, row: Row, rounds: Rounds) -> str:
        cells = [_cell(row, _values(row, rounds, name)) for name in self.columns]
        beside, *others = (
            _shown_ratio(row.figure, rounds, other) for other in (GOOGLES, *self.compared)
        )
        return f"| {' | '.join([row.what, *cells, beside, row.target, *others])} |"


def _values(row: Row, rounds: Rounds, name: str) -> list[float]:
    return [each[row.figure] for each in rounds.get(name, ()) if row.figure in each]


def _cell(row: Row, values: Sequence[float]) -> str:
    if not values:
        return "-"
    value = median(values)
    number = f"{value:,.0f}" if value >= 100 or not row.unit else f"{value:.3g}"
    return number + ("" if row.unit in ("", "/s") else " ") + row.unit


def _shown_ratio(figure: str, rounds: Rounds, other: str) -> str:
    value = ratio(figure, rounds, OURS, other)
    return "-" if value is None else f"{value:.3g}"


def ratio(figure: str, rounds: Rounds, one: str, other: str) -> float | None:
    """The median of the rounds' ratios, so that a machine whose speed drifts does not matter."""
    # Where a process failed, the rounds after it are compared with others than their own.
    pairs = list(zip(rounds.get(one, ()), rounds.get(other, ()), strict=False))
    ratios = [
        left[figure] / right[figure] for left, right in pairs if figure in left and right[figure]
    ]
    return median(ratios) if ratios else None
