"""What a consumed message costs, beside Google's client and version 1.x.

``python -m benchmarks.consuming [ROUNDS]``: whole processes in turn, each against a server of its
own that streams as fast as the flow control permits; the handler only counts. Two handler threads.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
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
            environment["PYTHONPATH"] = str(HERE.parent)
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


def main(rounds: int) -> None:
    """Run all candidates in turn and print a table of medians and of ratios to the first."""
    results: dict[Candidate, list[dict[str, float]]] = {each: [] for each in CANDIDATES}
    for _ in range(rounds):
        for candidate, column in results.items():
            with tempfile.TemporaryDirectory() as folder:
                column.append(_run(candidate, Path(folder)))
    print("| what | messages/s | ratio | CPU µs a message | ratio | threads |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = results[CANDIDATES[0]]
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
    main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
