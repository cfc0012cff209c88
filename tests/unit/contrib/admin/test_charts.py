"""Charts as the paths of an SVG."""

from __future__ import annotations

import re

import pytest

from rele.contrib.admin.charts import durations_chart, messages_chart, sparkline
from rele.contrib.admin.reading import History


def time_of(minute: int) -> str:
    return f"minute {minute}"


def heights(path: str) -> list[float]:
    return [float(each) for each in re.findall(r"v-([\d.]+)", path)]


def test_bars_are_as_high_as_the_counts_and_failed_ones_are_part_of_them() -> None:
    chart = messages_chart(History(7, [0, 50, 200], [0, 0, 100]), time_of)

    succeeded, failed = chart.series
    assert heights(succeeded.path) == [25.0, 50.0]
    assert heights(failed.path) == [50.0]
    assert (chart.top, chart.view_box) == ("200", "0 0 28 100")
    assert chart.hints[2].text == "minute 9: 200 handled, 100 failed"
    assert "250 messages in 3 minutes, 100 of them failed; at most 200" in chart.summary


@pytest.mark.parametrize(
    ("most", "top"),
    [(1, "2"), (2, "2"), (4, "5"), (11, "15"), (5_001, "7,500"), (999_999, "1,000,000")],
)
def test_the_scale_ends_with_a_round_number(most: int, top: str) -> None:
    assert messages_chart(History(0, [most], [0]), time_of).top == top


def test_a_single_message_among_many_can_be_seen() -> None:
    chart = messages_chart(History(0, [1_000_000, 1], [0, 1]), time_of)

    assert heights(chart.series[1].path) == [2.0]


def test_an_empty_chart_is_empty() -> None:
    for chart in (
        messages_chart(History(0, [0, 0], [0, 0]), time_of),
        sparkline(History(0, [0, 0], [0, 0]), 2),
        durations_chart(0, [None, None], [None, None], time_of),
    ):
        assert [series.path for series in chart.series] == ["", ""]
        assert chart.top == ""


def test_a_sparkline_shows_the_last_minutes() -> None:
    assert heights(sparkline(History(0, [900, 1, 2], [0, 0, 0]), 2).series[0].path) == [50.0, 100.0]


def test_a_line_is_interrupted_where_nothing_was_handled() -> None:
    chart = durations_chart(0, [0.1, None, 0.1, 0.2], [0.2, None, 0.4, 0.4], time_of)

    p95, p50 = chart.series
    assert p50.path == "M0 80.0h8M20 80.0h8L34 60.0"
    assert p95.path == "M0 60.0h8M20 20.0h8L34 20.0"
    assert (chart.top, chart.bottom) == ("500 ms", "0")
    assert [hint.text for hint in chart.hints] == [
        "minute 0: p50 100 ms, p95 200 ms",
        "minute 2: p50 100 ms, p95 400 ms",
        "minute 3: p50 200 ms, p95 400 ms",
    ]
