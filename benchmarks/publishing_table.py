"""The figures of publishing as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.table import Rounds, Row, Table, ratio

LIBRARIES = ("rele", "rele-on-google", "google", "rele-1", "stub")

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

TABLE = Table(LIBRARIES, ROWS)


def table(figures: Mapping[str, Rounds]) -> str:
    """The table, and how Relé compares with the stub."""
    text = TABLE.text(figures)
    stub = _beside_the_stub(figures.get("throughput", {}))
    return f"{text}\n\n{stub}" if stub else text


def _beside_the_stub(rounds: Rounds) -> str:
    rate, cpu = (ratio(figure, rounds, "rele", "stub") for figure in ("rate", "cpu"))
    if rate is None or cpu is None:
        return ""
    return (
        "Beside the stub, which sends 1,000 messages a request, Relé publishes "
        f"{rate:.2f} times as many messages a second, at {cpu:.2f} times its CPU."
    )
