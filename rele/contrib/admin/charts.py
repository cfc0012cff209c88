"""Charts of the last minutes, as paths of an SVG. Numbers are texts, which no locale changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rele.contrib.admin.reading import History
from rele.contrib.admin.wording import duration, number

_STEP, _GAP = 10, 2
"""The width of a minute, and how much of it stays free between two bars."""

_HALF = (_STEP - _GAP) // 2

_HEIGHT = 100

_STEPS = (1, 1.5, 2, 3, 5, 7.5, 10, 20)
"""What a scale may end with, but for powers of ten."""


@dataclass(frozen=True)
class Series:
    """One path of a chart."""

    name: str
    """The class that gives it a colour."""
    path: str


@dataclass(frozen=True)
class Hint:
    """What is shown of one minute to whoever points at it."""

    x: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart, a minute after the other."""

    view_box: str
    series: tuple[Series, ...]
    summary: str
    """What it shows, for whoever does not see it."""
    top: str = ""
    bottom: str = ""
    """What the upper and the lower edge stand for; empty where nothing was handled."""
    hints: tuple[Hint, ...] = ()
    step: str = str(_STEP)
    height: str = str(_HEIGHT)


def messages_chart(history: History, time_of: Callable[[int], str]) -> Chart:
    """Messages a minute, the failed ones at the bottom.

    Args:
        history: what it shows.
        time_of: a minute as a text.
    """
    most = max(history.handled)
    hints = tuple(
        Hint(
            str(index * _STEP),
            f"{time_of(history.first + index)}: {number(handled)} handled, {number(failed)} failed",
        )
        for index, (handled, failed) in enumerate(_pairs(history))
    )
    top = max(_rounded_up(most), 2)
    return Chart(
        _view_box(len(history.handled)),
        _bars(history, top),
        _summary(history),
        number(top) if most else "",
        "0" if most else "",
        hints,
    )


def sparkline(history: History, minutes: int) -> Chart:
    """The same of the last minutes, small, and as high as its highest minute."""
    last = History(history.first, history.handled[-minutes:], history.failed[-minutes:])
    return Chart(_view_box(minutes), _bars(last, max(last.handled) or 1), _summary(last))


def durations_chart(
    first: int,
    medians: Sequence[float | None],
    slowest: Sequence[float | None],
    time_of: Callable[[int], str],
) -> Chart:
    """The seconds within which half of the messages, and 95 % of them, were handled in each minute.

    Args:
        first: the first minute.
        medians, slowest: of each minute; ``None`` where none was handled.
        time_of: a minute as a text.
    """
    most = max((each for each in slowest if each is not None), default=0.0)
    top = _rounded_up(most)
    hints = tuple(
        Hint(
            str(index * _STEP),
            f"{time_of(first + index)}: p50 {duration(median)}, p95 {duration(slow)}",
        )
        for index, (median, slow) in enumerate(zip(medians, slowest, strict=True))
        if median is not None
    )
    return Chart(
        _view_box(len(medians)),
        (Series("p95", _line(slowest, top)), Series("p50", _line(medians, top))),
        f"Seconds of a handler in each minute, p50 and p95; the highest p95 is {duration(most)}"
        if most
        else "No message was handled",
        duration(top) if most else "",
        "0" if most else "",
        hints,
    )


def _pairs(history: History) -> Iterator[tuple[int, int]]:
    return zip(history.handled, history.failed, strict=True)


def _summary(history: History) -> str:
    return (
        f"{number(sum(history.handled))} messages in {len(history.handled)} minutes, "
        f"{number(sum(history.failed))} of them failed; at most {number(max(history.handled))} "
        "in a minute"
    )


def _view_box(minutes: int) -> str:
    return f"0 0 {minutes * _STEP - _GAP} {_HEIGHT}"


def _bars(history: History, top: float) -> tuple[Series, ...]:
    failed, succeeded = [], []
    for index, (all_handled, number_failed) in enumerate(_pairs(history)):
        x = index * _STEP
        of_failed, of_all = (_height(each, top) for each in (number_failed, all_handled))
        failed.append(_bar(x, _HEIGHT, of_failed))
        succeeded.append(_bar(x, _HEIGHT - of_failed, of_all - of_failed))
    return Series("succeeded", "".join(succeeded)), Series("failed", "".join(failed))


def _height(count: int, top: float) -> float:
    """At least so much that it can be seen."""
    return max(_HEIGHT * count / top, 2.0) if count else 0.0


def _bar(x: int, bottom: float, height: float) -> str:
    width = _STEP - _GAP
    return f"M{x} {bottom:.1f}h{width}v{-height:.1f}h{-width}z" if height > 0 else ""


def _line(values: Sequence[float | None], top: float) -> str:
    """Through the middles of the minutes; where there is no value, it is interrupted."""
    path = []
    is_interrupted = True
    for index, value in enumerate(values):
        if value is not None:
            x, y = index * _STEP + _HALF, _HEIGHT * (1 - value / top)
            # A minute alone is a dash, which can be seen.
            dash = f"M{x - _HALF} {y:.1f}h{2 * _HALF}"
            path.append(dash if is_interrupted else f"L{x} {y:.1f}")
        is_interrupted = value is None
    return "".join(path)


def _rounded_up(most: float) -> float:
    """The next number with one or two digits before zeros, so that little of a chart is empty."""
    if most <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(most))
    return next(rounded for step in _STEPS if (rounded := round(step * power, 9)) >= most)
