"""What a published message costs, beside Google's client, rele 1.x and the bare stub.

``python -m benchmarks.publishing [--rounds N] [--only MEASURE …] [--record] …``: whole processes
in turn, against one server that only counts what it accepts. The table goes to the standard output
and to ``var/bench/``; ``--record`` also puts it into ``RESULTS.md`` and draws the chart from it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from benchmarks import peers
from benchmarks.charts import PUBLISHING
from benchmarks.publishing_table import LIBRARIES, ROWS, table
from benchmarks.results import record

HERE = Path(__file__).parent
WRITTEN = HERE.parent / "var" / "bench"
ROUNDS = 5
TIMEOUT = 180
"""Seconds for one process."""

CANNOT = {
    ("rele-1", "ordered"),
    ("rele-1", "tasks"),
    *(("stub", measure) for measure in ("ordered", "tasks", "blocking", "threads", "first")),
}
"""What a library has no way to do."""

Figures: TypeAlias = dict[str, float]
"""Of one process."""


@dataclass
class Results:
    """The figures of each measure and library, one for each round."""

    checkout: Path
    figures: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.publishing_server"],
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


def _run(checkout: Path, library: str, measure: str, address: str) -> Figures:
    """One process; with the seconds that it took until it had its figures."""
    environment = {**os.environ, "PUBSUB_EMULATOR_HOST": address}
    environment.pop("PYTHONPATH", None)
    python = peers.python() if library == "rele-1" else sys.executable
    if library != "rele-1":
        environment["PYTHONPATH"] = str(checkout)
    began = time.perf_counter()
    with subprocess.Popen(
        [python, str(HERE / "publishing_client.py"), library, measure],
        env=environment,
        cwd=WRITTEN,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.wait(TIMEOUT)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {**json.loads(line), "until_first": seconds * 1000}


def _measure(options: argparse.Namespace, measures: Sequence[str]) -> Results:
    """Run all in turn; those that are compared directly follow each other."""
    results, libraries, rounds = Results(options.checkout), options.libraries, options.rounds
    with _server() as address:
        for library in libraries:  # compiles and caches what is imported
            _run_or_note(results, library, "throughput" if library == "stub" else "first", address)
        results.figures.clear()
        for measure in measures:
            able = [each for each in libraries if (each, measure) not in CANNOT]
            for round_ in range(rounds):
                turn = round_ % len(able)
                for library in able[turn:] + able[:turn]:
                    _run_or_note(results, library, measure, address)
            print(f"{measure}: {rounds} rounds", file=sys.stderr, flush=True)
    return results


def _run_or_note(results: Results, library: str, measure: str, address: str) -> None:
    try:
        figures = _run(results.checkout, library, measure, address)
    except (subprocess.SubprocessError, json.JSONDecodeError) as error:
        results.failed.append(f"{library}, {measure}: {error}")
        return
    results.figures.setdefault(measure, {}).setdefault(library, []).append(figures)


def main(options: argparse.Namespace) -> int:
    """Measure, print and write; return 1 if a process failed."""
    WRITTEN.mkdir(parents=True, exist_ok=True)
    only = options.only
    measures = list(dict.fromkeys(row.measure for row in ROWS if not only or row.measure in only))
    results = _measure(options, measures)
    text = table(results.figures)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    print(text)
    print(f"\nMedians of {options.rounds} rounds; the machine's load at the end was {load}.")
    (WRITTEN / "publishing.md").write_text(text + "\n")
    (WRITTEN / "publishing.json").write_text(json.dumps(results.figures, indent=1))
    print(f"Written to {WRITTEN}/publishing.md and, with every round, publishing.json.")
    if options.record:
        record("publishing", text)
        print(f"Recorded in benchmarks/RESULTS.md and drawn in {PUBLISHING.draw()}.")
    for failure in results.failed:
        print(f"Failed: {failure}", file=sys.stderr)
    return 1 if results.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a published message costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="*", default=[], help="measures, by default all")
    parser.add_argument("--libraries", nargs="*", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--checkout", type=Path, default=HERE.parent, help="of Relé")
    parser.add_argument("--record", action="store_true", help="also write RESULTS.md and the chart")
    sys.exit(main(parser.parse_args()))
