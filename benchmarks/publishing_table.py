"""The figures of publishing as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

COLUMNS = {
    "rele": "Relé",
    "rele-on-google": 'Relé, `"google"`',
    "google": "Google's client",
    "rele-1": "rele 1.17.2",
    "stub": "stub",
}


RATIO = "Relé / Google's"


@dataclass(frozen=True)
class Row:
    """One figure of one measure, and what is asked of it."""

    what: str
    measure: str
    figure: str
    unit: str
    target: str = ""
    """Of the ratio to Google's client."""
    is_cost: bool = False
    """Whether less is better."""


ROWS = (
    Row("publish until all are accepted", "throughput", "rate", "/s", "≥ 2.5"),
    Row("publish: CPU a message", "throughput", "cpu", "µs", "≤ 0.4", is_cost=True),
    Row(
        "publish: CPU a message, caller alone", "throughput", "caller", "µs", "≤ 0.5", is_cost=True
    ),
    Row("publish: threads, gRPC's included", "throughput", "threads", "", is_cost=True),
    Row("publish: most resident memory", "throughput", "memory", "MB", is_cost=True),
    Row("publish 1 kB", "kilobytes", "megabytes", "MB/s", "≥ 2.5"),
    Row("publish 1 kB: CPU a message", "kilobytes", "cpu", "µs", "≤ 0.4", is_cost=True),
    Row("blocking, one at a time, p50", "blocking", "p50", "ms", "≤ 0.12", is_cost=True),
    Row("blocking, one at a time, p99", "blocking", "p99", "ms", "≤ 0.3", is_cost=True),
    Row("blocking, 32 threads", "threads", "rate", "/s", "≥ 5"),
    Row("ordered, 200 keys", "ordered", "rate", "/s", "≥ 5"),
    Row("ordered: CPU a message", "ordered", "cpu", "µs", is_cost=True),
    Row("`publish_many` of 10,000", "together", "rate", "/s", "≥ 5"),
    Row("`publish_many`: CPU a message", "together", "cpu", "µs", is_cost=True),
    Row("`apublish`, 1,000 tasks", "tasks", "rate", "/s", "≥ 2"),
    Row("`apublish`: CPU a message", "tasks", "cpu", "µs", is_cost=True),
    Row("import to first accepted", "first", "until_first", "ms", "≤ 1.05", is_cost=True),
)

Rounds = Mapping[str, Sequence[Mapping[str, float]]]
"""For each library the figures of each round."""


def table(figures: Mapping[str, Rounds]) -> str:
    """Medians of the rounds; a ratio is the median of the rounds' ratios."""
    names = " | ".join(COLUMNS.values())
    lines = [
        f"| what | {names} | {RATIO} | target | Relé / 1.17.2 |",
        "| --- |" + " --- |" * (len(COLUMNS) + 3),
    ]
    for row in ROWS:
        if rounds := figures.get(row.measure):
            lines.append(_line(row, rounds))
    if stub := _beside_the_stub(figures.get("throughput", {})):
        lines += ["", stub]
    return "\n".join(lines)


def _line(row: Row, rounds: Rounds) -> str:
    cells = [_cell(row, [each[row.figure] for each in rounds.get(name, ())]) for name in COLUMNS]
    beside = [_shown_ratio(row.figure, rounds, other) for other in ("google", "rele-1")]
    return f"| {row.what} | {' | '.join(cells)} | {beside[0]} | {row.target} | {beside[1]} |"


def _cell(row: Row, values: Sequence[float]) -> str:
    if not values:
        return "-"
    value = median(values)
    number = f"{value:,.0f}" if value >= 100 or not row.unit else f"{value:.3g}"
    return number + ("" if row.unit in ("", "/s") else " ") + row.unit


def _shown_ratio(figure: str, rounds: Rounds, other: str) -> str:
    value = ratio(figure, rounds, "rele", other)
    return "-" if value is None else f"{value:.3g}"


def ratio(figure: str, rounds: Rounds, one: str, other: str) -> float | None:
    """The median of the rounds' ratios, so that a machine whose speed drifts does not matter."""
    # Where a process failed, the rounds after it are compared with others than their own.
    pairs = list(zip(rounds.get(one, ()), rounds.get(other, ()), strict=False))
    return median(left[figure] / right[figure] for left, right in pairs) if pairs else None


def _beside_the_stub(rounds: Rounds) -> str:
    rate, cpu = (ratio(figure, rounds, "rele", "stub") for figure in ("rate", "cpu"))
    if rate is None or cpu is None:
        return ""
    return (
        "Beside the stub, which sends 1,000 messages a request, Relé publishes "
        f"{rate:.2f} times as many messages a second, at {cpu:.2f} times its CPU."
    )
