"""What ``make bench`` makes of its figures. The figures themselves are no test."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import charts, instructions, results, table
from benchmarks.chart import Chart

PYTHON = "CPython 3.11.7 (GCC 12.2.0), x86_64, protobuf 7.36.2"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for RESULTS.md."""
    path = tmp_path / "RESULTS.md"
    path.write_text("before\n<!-- one -->\nold\n<!-- end of one -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(results, "PATH", path)
    return path


@pytest.mark.parametrize(
    ("counted", "is_good"), [(100_000, True), (103_000, True), (103_001, False)]
)
def test_a_message_may_cost_3_percent_more_than_recorded(counted: int, is_good: bool) -> None:
    text, verdict = instructions.verdict("consuming", counted, {PYTHON: 100_000}, PYTHON)

    assert verdict is is_good
    assert "100,000 in RESULTS.md" in text
    assert ("At most +3%" in text) is not is_good


def test_another_python_is_not_compared() -> None:
    text, is_good = instructions.verdict("consuming", 200_000, {PYTHON: 100_000}, "CPython 3.13.1")

    assert is_good
    assert f"RESULTS.md has no figure for it, but for {PYTHON}" in text


def test_a_cheaper_message_is_to_be_recorded() -> None:
    text, is_good = instructions.verdict("consuming", 90_000, {PYTHON: 100_000}, PYTHON)

    assert is_good
    assert "Record it with `--record`" in text


def test_a_result_replaces_the_one_before_and_nothing_else(written: Path) -> None:
    results.record("one", "new")

    assert results.recorded("one") == "new"
    assert written.read_text() == "before\n<!-- one -->\nnew\n<!-- end of one -->\nafter\n"


@pytest.mark.usefixtures("written")
def test_a_result_without_a_place_is_an_error_that_says_where() -> None:
    with pytest.raises(
        ValueError, match=r"RESULTS.md has no place for 'two': it needs <!-- two -->"
    ):
        results.record("two", "new")


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """And not that of two medians, which belong to different rounds."""
    rounds = {
        "rele": [{"rate": 10.0}, {"rate": 40.0}, {"rate": 90.0}],
        "google": [{"rate": 10.0}, {"rate": 10.0}, {"rate": 90.0}],
    }

    assert table.ratio("rate", rounds, "rele", "google") == 1.0


@pytest.mark.parametrize("chart", [charts.PUBLISHING, charts.CONSUMING], ids=lambda each: each.name)
def test_a_chart_is_of_the_table_in_the_results(chart: Chart) -> None:
    """``python -m benchmarks.charts`` draws them."""
    assert chart.path.read_text(encoding="utf-8") == chart.svg()
