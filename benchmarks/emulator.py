"""The embedded server beside Google's emulator: ``python -m benchmarks.emulator``.

Both get the same client in the same run, in turn. The figures are medians over the rounds, as the
rows of a Markdown table; a ratio is ours to Google's.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import emulator_measures as measures
from benchmarks.emulator_servers import RELE, RELE_ON_DISK, Kind, Running, google, running

ROUNDS = 3

IDLE_SECONDS = 1.0
"""How long after its first answer a server counts as idle."""

LITTLE, MUCH = 10_000, 1_000_000
"""Messages waiting while the cost of each is measured."""


@dataclass(frozen=True)
class Figure:
    """What a row is about, its unit, and the target: of the ratio, or with a unit of ours."""

    what: str
    unit: str
    target: str


@dataclass(frozen=True)
class Load(Figure):
    """A figure of a running server, given its address."""

    measure: Callable[[str], float]


ROWS = (
    Load(
        "Streaming pull, one stream, 20,000 x 200 B, Google's client",
        "/s",
        "≥ 10",
        measures.stream_with_googles_client,
    ),
    Load("The same on bare stubs", "/s", "≥ 60,000/s", measures.stream_on_stubs),
    Load("Publish 200 B, Google's client", "/s", "≥ 0.9", measures.publish_with_googles_client),
    Load(
        "The same with a subscription that keeps them",
        "/s",
        "≥ 0.5 on disk",
        lambda address: measures.publish_with_googles_client(address, subscribed=True),
    ),
    Load("Publish 1,000 a request, bare stubs", "/s", "≥ 150,000/s", measures.publish_on_stubs),
    Load("Publish to streaming pull, one at a time, p50", " ms", "≤ 0.1", measures.latency),
    Load(
        f"Cost of a message, {LITTLE:,} waiting",
        " µs",
        "",
        lambda address: measures.cost_in_backlog(address, LITTLE),
    ),
)

START = Figure("Command to first answered RPC", " ms", "≤ 1.0")
IDLE = Figure("Resident memory, idle", " MB", "≤ 80 MB")
COST_MUCH = Figure(f"Cost of a message, {MUCH:,} waiting", " µs", "≤ 1.2 of the row above's")
FULL = Figure(f"Resident memory, {MUCH:,} x 200 B waiting", " MB", "≤ 1,000 MB")

Figures = dict[Figure, dict[str, list[float]]]
"""The figures of each round, by the name of the server."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument(
        "--without-backlog", action="store_true", help=f"leave out {MUCH:,} waiting messages"
    )
    options = parser.parse_args(arguments)
    try:
        kinds = [RELE, RELE_ON_DISK, google()]
    except LookupError as error:
        print(f"{error} Only ours is measured.", file=sys.stderr)
        kinds = [RELE, RELE_ON_DISK]
    figures: Figures = {}
    for _ in range(options.rounds):
        for kind in kinds:
            _measure_start(kind, figures)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(running(kind)) for kind in kinds]
        for row in ROWS:
            for _ in range(options.rounds):
                for server in servers:
                    _note(figures, row, server, row.measure(server.address))
        if not options.without_backlog:
            for server in servers:
                _measure_backlog(server, figures)
    print("\n".join(table(figures, kinds)))
    return 0


def table(figures: Figures, kinds: Sequence[Kind]) -> list[str]:
    """The medians as the lines of a Markdown table; the last kind is what the others face."""
    names = [kind.name for kind in kinds]
    ratios = [f"{name} / {names[-1]}" for name in names[:-1]]
    lines = [_line(["what", *names, *ratios, "target"]), _line(["---"] * (2 + len(names + ratios)))]
    for figure, columns in figures.items():
        medians = [median(columns[name]) for name in names]
        cells = [f"{_number(each)}{figure.unit}" for each in medians]
        cells += [f"{each / medians[-1]:.3g}" for each in medians[: len(ratios)]]
        lines.append(_line([figure.what, *cells, figure.target]))
    return lines


def _measure_start(kind: Kind, figures: Figures) -> None:
    with running(kind) as server:
        _note(figures, START, server, server.start_seconds * 1000)
        time.sleep(IDLE_SECONDS)
        _note(figures, IDLE, server, server.rss_megabytes())


def _measure_backlog(server: Running, figures: Figures) -> None:
    def note_memory() -> None:
        _note(figures, FULL, server, server.rss_megabytes())

    cost = measures.cost_in_backlog(server.address, MUCH, note_memory)
    _note(figures, COST_MUCH, server, cost)


def _note(figures: Figures, row: Figure, server: Running, value: float) -> None:
    figures.setdefault(row, {}).setdefault(server.kind.name, []).append(value)
    print(
        f"{server.kind.name}: {row.what}: {_number(value)}{row.unit}", file=sys.stderr, flush=True
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
