"""What a consumed message costs, beside Google's client, rele 1.x, repid and the bare stubs.

``python -m benchmarks.consuming [--rounds N] [--only MEASURE …] [--record] …``: whole processes
in turn, each against a server of its own that streams as fast as the flow control permits. The
table goes to the standard output and, with the figures of every round, to ``var/bench/``;
``--record`` also puts it into ``RESULTS.md`` and draws the chart from it. Measures and libraries
that are not run keep the figures that ``var/bench/`` has of them. ``--quick`` shows in a few
minutes whether all of them run; its figures mean nothing, and are not written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks import peers
from benchmarks.charts import CONSUMING
from benchmarks.consuming_table import LIBRARIES, table
from benchmarks.results import record

HERE = Path(__file__).parent
WRITTEN = HERE.parent / "var" / "bench"
FIGURES = WRITTEN / "consuming.json"
ROUNDS = 3
TIMEOUT = 180
"""Seconds for one process."""

IN_PEERS_ENVIRONMENT = ("rele-1", "repid")

MEASURES: dict[str, Sequence[str]] = {
    "throughput": LIBRARIES,
    "fast": ("rele",),
    "logged": ("rele", "rele-1"),
    "kilobytes": LIBRARIES,
    "bytes": ("rele", "google", "stub"),
    "batches": ("rele", "google", "stub"),
    "async": ("rele", "google", "repid"),
    "waiting": ("rele",),
    "latency": ("rele", "google", "rele-1", "repid"),
    "idle": ("rele", "google"),
    "start": ("rele",),
    "many-1": ("rele",),
    "many-100": ("rele",),
    "many-1000": ("rele",),
    "process": ("rele",),
    "processes": ("rele",),
}
"""Each with the libraries that have a way to do it."""

ONCE = ("idle", "start", "many-1", "many-100", "many-1000")
"""Measured in one round alone: they take long, and differ little."""

Figures: TypeAlias = dict[str, dict[str, list[dict[str, float]]]]
"""For each measure and library those of each round."""


@contextlib.contextmanager
def _server(payload_bytes: int) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.consuming_server", str(payload_bytes)],
        cwd=HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


def _run(options: argparse.Namespace, library: str, measure: str) -> dict[str, float]:
    """One process; its figures."""
    is_peer = library in IN_PEERS_ENVIRONMENT
    with (
        _server(1000 if measure == "kilobytes" else 100) as address,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment = {**os.environ, "PUBSUB_EMULATOR_HOST": address}
        environment.pop("PYTHONPATH", None)
        if not is_peer:
            environment["PYTHONPATH"] = str(options.checkout)
        python = peers.python() if is_peer else sys.executable
        command = [python, str(HERE / "consuming_client.py"), library, measure, f"{folder}/log"]
        completed = subprocess.run(
            [*command, *(["--quick"] if options.quick else [])],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=TIMEOUT,
        )
    figures: dict[str, float] = json.loads(completed.stdout.splitlines()[-1])
    return figures


def _measure(options: argparse.Namespace, measures: Iterable[str], failed: list[str]) -> Figures:
    """Run all in turn; those that are compared directly follow each other."""
    figures: Figures = {}
    for measure in measures:
        able = [each for each in MEASURES[measure] if each in options.libraries]
        rounds = 1 if measure in ONCE else options.rounds
        for round_ in range(rounds):
            turn = round_ % max(len(able), 1)
            for library in able[turn:] + able[:turn]:
                try:
                    result = _run(options, library, measure)
                except (subprocess.SubprocessError, json.JSONDecodeError) as error:
                    failed.append(f"{library}, {measure}: {error}")
                else:
                    figures.setdefault(measure, {}).setdefault(library, []).append(result)
        print(f"{measure}: {rounds} round(s)", file=sys.stderr, flush=True)
    return figures


def _known() -> Figures:
    """What was measured before."""
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return figures


def main(options: argparse.Namespace) -> int:
    """Measure, print and write; return 1 if a process failed."""
    WRITTEN.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    is_partial = options.only or set(options.libraries) != set(LIBRARIES)
    figures = _known() if is_partial else {}
    for measure, of_libraries in _measure(options, options.only or MEASURES, failed).items():
        figures.setdefault(measure, {}).update(of_libraries)
    text = table(figures)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(text)
    print(f"\nMedians of {options.rounds} rounds; the machine's load at the end was {load}.")
    if not options.quick:
        FIGURES.write_text(json.dumps(figures, indent=1))
        FIGURES.with_suffix(".md").write_text(text + "\n")
        print(f"Written to {WRITTEN}/consuming.md and, with every round, consuming.json.")
    if options.record:
        record("consuming", text)
        print(f"Recorded in benchmarks/RESULTS.md and drawn in {CONSUMING.draw()}.")
    for failure in failed:
        print(f"Failed: {failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a consumed message costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="*", default=[], choices=MEASURES, metavar="MEASURE")
    parser.add_argument("--libraries", nargs="*", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="of Relé")
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "--record", action="store_true", help="also write RESULTS.md and the chart"
    )
    written.add_argument("--quick", action="store_true", help="only see whether all of them run")
    sys.exit(main(parser.parse_args()))
