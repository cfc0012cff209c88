"""The figures that rooms and workers add, in words instead of the names of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rele.contrib.admin.reading import Reports
from rele.contrib.admin.wording import duration, number, size
from rele.status.snapshot import Figure

_OWN = "rele_"
"""What the names of Relé's own metrics begin with, in addition to that of their room."""


@dataclass(frozen=True)
class FigureLine:
    """A figure in a list."""

    name: str
    """Of the metric."""
    words: str
    """Its name in words, without its unit."""
    help: str
    labels: str
    value: str
    is_bad: bool = False
    """Whether a person has to do something about it."""


def figures_of(reports: Reports) -> list[FigureLine]:
    """What rooms add; of a process that reports, the latest first."""
    found: dict[tuple[str, str], FigureLine] = {}
    for report in reports.processes:
        for figure in () if report.is_silent else report.snapshot.figures:
            line = _line(figure)
            found.setdefault((line.name, line.labels), line)
    return list(found.values())


def within(prefix: str, figures: Iterable[FigureLine]) -> tuple[FigureLine, ...]:
    """The figures of the room whose metrics begin with ``prefix``, without its name.

    Labels that are the same for all of them are left out: they tell nothing.
    """
    own = [
        replace(each, words=_in_words(each.name.removeprefix(prefix)))
        for each in figures
        if each.name.startswith(prefix)
    ]
    if len({each.labels for each in own}) == 1:
        return tuple(replace(each, labels="") for each in own)
    return tuple(own)


def _line(figure: Figure) -> FigureLine:
    labels = ", ".join(f"{key} {value}" for key, value in sorted(figure.labels.items()))
    words = _in_words(figure.name.removeprefix(_OWN))
    is_bad = figure.is_fault and figure.value > 0
    return FigureLine(figure.name, words, figure.help, labels, _value(figure), is_bad)


def _in_words(name: str) -> str:
    for unit in ("_seconds", "_bytes", "_total"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def _value(figure: Figure) -> str:
    name, value = figure.name.removesuffix("_total"), figure.value
    if name.endswith("_seconds"):
        return duration(value) if value > 0 else "0 s"
    if name.endswith("_bytes"):
        return size(value)
    return number(value) if value == int(value) else f"{value:,.6g}"
