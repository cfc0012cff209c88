"""What an event costs its writer: ``python -m benchmarks.outbox_publish``.

Each figure is of processes of their own that write into a table of their own, in turn with the
others: rows by Django alone, and messages through the outbox. The rows are the same, down to their
values' lengths. "By hand" works out JSON, a UUID and the time for each row, as a project would that
writes such rows itself; "ready" is given all values and does nothing but write.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from statistics import median

import psycopg

from benchmarks.outbox_processes import Child, Databases, children, environment
from tests.support.postgres import started

ROUNDS = 25
WRITERS = (1, 8)
EACH = 100
"""Transactions of one row, of each writer in a round."""
BATCHES = 1

ONE_BY_ONE = ("create-ready", "create", "publish")
TOGETHER = ("bulk-create-ready", "bulk-create", "publish-many")


def measure(url: str, tasks: Sequence[str], writers: int, number: int) -> list[float]:
    """The median milliseconds of a transaction of each task, all writers together."""
    figures: list[list[float]] = [[] for _ in tasks]
    with contextlib.ExitStack() as stack, psycopg.connect(url, autocommit=True) as connection:
        groups = [
            stack.enter_context(children(writers, task, environment=environment(url)))
            for task in tasks
        ]
        for _ in range(ROUNDS):
            for group, column in zip(groups, figures, strict=True):
                connection.execute("TRUNCATE rele_outbox_outboxmessage")
                column.append(_seconds(group, number // writers) / number * 1000)
    return [median(column) for column in figures]


def _seconds(group: Sequence[Child], each: int) -> float:
    began = time.perf_counter()
    for child in group:
        child.ask(each)
    for child in group:
        child.answer()
    return time.perf_counter() - began


def _row(what: str, figures: Sequence[float]) -> str:
    ready, by_hand, published = figures
    times = " | ".join(f"{figure:.3g} ms" for figure in figures)
    return f"| {what} | {times} | {published / ready:.2f} | {published / by_hand:.2f} | ≤ 1.3 |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--fsync", action="store_true", help="let commits wait for the disk, as in production"
    )
    options = parser.parse_args(arguments)
    print("| what | ready | by hand | Relé | Relé / ready | Relé / by hand | target |")
    print(f"|{' --- |' * 7}")
    with started(fsync=options.fsync) as server_url, Databases(server_url).new() as url:
        for writers in WRITERS:
            figures = measure(url, ONE_BY_ONE, writers, EACH * writers)
            print(_row(f"publish, processes: {writers}", figures), flush=True)
        print(_row("publish_many of 1,000", measure(url, TOGETHER, 1, BATCHES)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
