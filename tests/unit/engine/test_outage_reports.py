from __future__ import annotations

import pytest

from rele.engine.outage_reports import Outage, in_a_line


def test_is_reported_once_a_minute_while_it_lasts() -> None:
    outage = Outage()
    outage.begin(1000)

    reports = [
        outage.seconds(second) for second in range(1000, 1150) if outage.should_report(second)
    ]

    assert reports == [0, 60, 120]
    assert outage.end(1150) == 150


def test_an_hour_is_reported_sixty_times() -> None:
    outage = Outage()
    outage.begin(0)

    assert [outage.should_report(second) for second in range(3600)].count(True) == 60


def test_what_comes_and_goes_is_reported_once_a_minute_too() -> None:
    outage = Outage()
    lines: list[object] = []

    for second in range(61):
        outage.begin(second)
        if outage.should_report(second):
            lines.append("unavailable")
        seconds = outage.end(second + 1)
        if seconds is not None:
            lines.append(seconds)

    assert lines == ["unavailable", 1, "unavailable", 1]


def test_the_end_of_what_was_not_reported_is_not_reported() -> None:
    outage = Outage()
    outage.begin(1)

    assert outage.end(2) is None
    assert not outage.is_ongoing


def test_begins_only_once() -> None:
    outage = Outage()
    outage.begin(1)
    outage.begin(6)

    assert outage.is_ongoing
    assert outage.seconds(6) == 5


@pytest.mark.parametrize(
    ("reason", "line"),
    [(ValueError("a\nb:\n  c."), "a b: c"), ("no token", "no token"), (ValueError(), "")],
)
def test_a_reason_is_put_in_a_line(reason: object, line: str) -> None:
    assert in_a_line(reason) == line
