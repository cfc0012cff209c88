"""The figures of consuming as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.table import Rounds, Row, Table, ratio

LIBRARIES = ("rele", "google", "rele-1", "repid", "stub")

ROWS = (
    Row("consume, 2 threads", "throughput", "rate", "/s", "≥ 3; 1.17.2: ≥ 4; repid: ≥ 1.5"),
    Row("consume: CPU a message", "throughput", "cpu", "µs", "≤ 0.35", is_cost=True),
    Row("consume: threads, gRPC's included", "throughput", "threads", "", is_cost=True),
    Row("consume with the extra `fast`", "fast", "rate", "/s"),
    Row("with `fast`: CPU a message", "fast", "cpu", "µs", is_cost=True),
    Row("consume, a log at INFO to a file", "logged", "rate", "/s", "1.17.2: ≥ 2.5"),
    Row("at INFO: CPU a message", "logged", "cpu", "µs", is_cost=True),
    Row("consume 1 kB", "kilobytes", "megabytes", "MB/s"),
    Row("consume 1 kB: CPU a message", "kilobytes", "cpu", "µs", is_cost=True),
    Row("batches of 500, bytes", "bytes", "rate", "/s", "≥ 8"),
    Row("batches, bytes: CPU a message", "bytes", "cpu", "µs", is_cost=True),
    Row("batches of 500, JSON", "batches", "rate", "/s", "≥ 6"),
    Row("batches, JSON: CPU a message", "batches", "cpu", "µs", is_cost=True),
    Row("`async def` that returns at once", "async", "rate", "/s", "≥ 3"),
    Row("`async def`: CPU a message", "async", "cpu", "µs", is_cost=True),
    Row("`async def` that waits for 5 ms", "waiting", "rate", "/s", "≥ 5,000/s"),
    Row("it: threads of Python", "waiting", "python threads", "", "≤ 4", is_cost=True),
    Row("publish to handler, p50", "latency", "p50", "ms", "≤ 1.0", is_cost=True),
    Row("publish to handler, p99", "latency", "p99", "ms", "≤ 1.2", is_cost=True),
    Row("100 idle subscriptions: threads", "idle", "threads", "", "≤ 16", is_cost=True),
    Row("100 idle: CPU", "idle", "cpu", "%", "≤ 0.1 %", is_cost=True),
    Row("100 idle: memory above one", "idle", "above one", "MB", "≤ 5 MB", is_cost=True),
    Row("1,000 subscriptions: start", "start", "start", "s", "≤ 3 s", is_cost=True),
    Row("1 busy subscription: CPU a message", "many-1", "cpu", "µs", is_cost=True),
    Row("100 busy ones: CPU a message", "many-100", "cpu", "µs", is_cost=True),
    Row("1,000 busy ones: CPU a message", "many-1000", "cpu", "µs", is_cost=True),
    Row("1 ms of Python a message, 1 process", "process", "rate", "/s"),
    Row("the same, `--processes 2`", "processes", "rate", "/s"),
)

TABLE = Table(LIBRARIES, ROWS)


def table(figures: Mapping[str, Rounds]) -> str:
    """The table, and what is compared otherwise."""
    lines = [_beside_the_stubs(figures.get("throughput", {})), _processes(figures)]
    return "\n\n".join([TABLE.text(figures), *filter(None, lines)])


def _beside_the_stubs(rounds: Rounds) -> str:
    rate, cpu = (ratio(figure, rounds, "rele", "stub") for figure in ("rate", "cpu"))
    if rate is None or cpu is None:
        return ""
    return (
        "Beside the stubs on an event loop, which keep no leases, Relé handles "
        f"{rate:.2f} times as many messages a second, at {cpu:.2f} times their CPU."
    )


def _processes(figures: Mapping[str, Rounds]) -> str:
    one, two = (figures.get(name, {}).get("rele", ()) for name in ("process", "processes"))
    value = ratio("rate", {"two": two, "one": one}, "two", "one")
    if value is None:
        return ""
    return f"Two processes handle {value:.2f} times as many messages as one (target: ≥ 1.8)."
