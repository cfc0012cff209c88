"""Numbers and times in words."""

from __future__ import annotations

import pytest

from rele.contrib.admin.wording import age, duration, plural, rate, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (1.44, "1.4 s"),
        (12.0, "12 s"),
        (180.0, "3.0 min"),
    ],
)
def test_a_duration_has_two_digits(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.0, "59 s"), (61.0, "1 min"), (7_300.0, "2 h"), (9e5, "10 d")],
)
def test_a_span_has_its_largest_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_age_is_a_span_ago() -> None:
    assert (age(0.3), age(90.0)) == ("now", "1 min ago")


def test_many_messages_a_minute_are_whole_ones() -> None:
    assert [rate(each) for each in (0, 0.25, 9.94, 1234.5)] == ["0", "0.2", "9.9", "1,234"]


def test_a_noun_is_in_the_plural_unless_there_is_one() -> None:
    assert [plural(each, "process") for each in (0, 1, 2_000)] == [
        "0 processes",
        "1 process",
        "2,000 processes",
    ]
    assert plural(2, "thread") == "2 threads"
