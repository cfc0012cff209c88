"""What a consumed message costs, beside Google's client and version 1.x.

``python -m benchmarks.consuming [--rounds N] [--before CHECKOUT]``: whole processes in turn, each
against a server of its own that streams as fast as the flow control permits; the handler only
counts. Two handler threads. With another checkout of Relé, that is measured in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks import peers

HERE = Path(__file__).parent
WARM_UP = 2_000
MESSAGES = 20_000
PAYLOAD_BYTES = 100
ROUNDS = 5
TIMEOUT = 120
"""Seconds for one process."""


@dataclass(frozen=True)
class Candidate:
    """One of the processes that are compared."""

    name: str
    consumer: str
    level: str = "WARNING"
    is_peer: bool = False
    checkout: Path = HERE.parent
    """Of Relé, where it is not a peer."""

    @property
    def command(self) -> list[str]:
        """What runs it, without the places of its log."""
        python = peers.python() if self.is_peer else sys.executable
        return [python, str(HERE / "consuming_client.py"), self.consumer, self.level]


CANDIDATES = (
    Candidate("Google's client", "google"),
    Candidate("Relé, log at WARNING", "rele"),
    Candidate("Relé, log at INFO to a file", "rele", "INFO"),
    Candidate("rele 1.17.2, log at WARNING", "rele", is_peer=True),
    Candidate("rele 1.17.2, log at INFO to a file", "rele", "INFO", is_peer=True),
)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.consuming_server", str(PAYLOAD_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


def _run(candidate: Candidate, folder: Path) -> dict[str, float]:
    """One process; its figures a message."""
    with _server() as address:
        environment = {**os.environ, "PUBSUB_EMULATOR_HOST": address}
        environment.pop("PYTHONPATH", None)
        if not candidate.is_peer:
            environment["PYTHONPATH"] = str(candidate.checkout)
        command = [*candidate.command, str(folder / "log"), str(WARM_UP), str(MESSAGES)]
        completed = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=TIMEOUT,
        )
    figures = json.loads(completed.stdout.splitlines()[-1])
    return {
        "rate": MESSAGES / figures["seconds"],
        "microseconds": figures["cpu"] / MESSAGES * 1e6,
        "threads": figures["threads"],
    }


def _candidates(before: Path | None) -> list[Candidate]:
    if before is None:
        return list(CANDIDATES)
    ours = [each for each in CANDIDATES if each.name.startswith("Relé")]
    former = [replace(each, name=f"{each.name}, before", checkout=before) for each in ours]
    return [*CANDIDATES, *former]


def main(rounds: int, before: Path | None) -> None:
    """Run all candidates in turn and print a table of medians and of ratios to the first."""
    candidates = _candidates(before)
    results: dict[Candidate, list[dict[str, float]]] = {each: [] for each in candidates}
    for _ in range(rounds):
        for candidate, column in results.items():
            with tempfile.TemporaryDirectory() as folder:
                column.append(_run(candidate, Path(folder)))
    print("| what | messages/s | ratio | CPU µs a message | ratio | threads |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = results[candidates[0]]
    for candidate, column in results.items():
        rate, cost, threads = (
            median(each[name] for each in column) for name in ("rate", "microseconds", "threads")
        )
        # Round by round, so that a machine whose speed drifts does not matter.
        pairs = list(zip(column, first, strict=True))
        rates = median(one["rate"] / other["rate"] for one, other in pairs)
        costs = median(one["microseconds"] / other["microseconds"] for one, other in pairs)
        print(
            f"| {candidate.name} | {rate:,.0f} | {rates:.2f} | {cost:.0f} | {costs:.2f} "
            f"| {threads:.0f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What a consumed message costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--before", type=Path, help="another checkout of Relé")
    options = parser.parse_args()
    main(options.rounds, options.before)
