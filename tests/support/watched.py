"""A worker in a process of its own, whose every line is watched."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Collection, Iterable
from typing import Any

from rele.engine.times import Times
from tests.support.inbox import Inbox
from tests.support.ledger import Expected, check_lines, lines_said
from tests.support.processors import seconds_to_end
from tests.support.project import Project

THREADS = 2
"""How many handlers run at a time."""

HANDLER = """
    import os, time
    from pathlib import Path
    from rele import sub
    from rele.retry_policy import RetryPolicy

    @sub(topic="jobs", retry_policy=RetryPolicy(1, 2), enable_exactly_once_delivery={once})
    def work(data, **kwargs):
        os.write(1, f"begin {data}\\n".encode())
        while Path("gate").exists():
            time.sleep(0.01)
        os.write(1, f"end {data}\\n".encode())
"""

IN_A_HURRY = """
    from rele import config, worker
    from rele.engine.times import Times
    from settings import RELE

    def run(times):
        configuration = config.setup(RELE)
        subscriptions = config.load_subscriptions_from_paths(["subs"])
        worker.create_and_run(
            subscriptions, configuration, on_start=lambda: print("Pulling messages"), times=times
        )

"""


class Watched:
    """A running worker: each line of its output is here as soon as it is written."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines = Inbox()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, count: int = 1, seconds: float = 30) -> None:
        """Return when ``count`` lines contain ``text``; fails after ``seconds``."""
        self._lines.wait_until(lambda lines: _count(lines, text) >= count, seconds)

    def wait_for_jobs(self, numbers: range, seconds: float = 30) -> None:
        """Return when the jobs of these ``numbers`` have been handled; fails after ``seconds``."""
        wanted = {f"end {number}" for number in numbers}
        self._lines.wait_until(lambda lines: wanted.issubset(lines), seconds)

    def check(self, accepted: Iterable[int], again: Collection[int] = ()) -> list[str]:
        """How what the handlers wrote breaks the rules of a ledger, if it does.

        Args:
            accepted: the jobs that Pub/Sub has accepted.
            again: those that may have been redelivered.
        """
        lines = lines_said("\n".join(self._lines.items), self.process.pid)
        return check_lines(lines, accepted, expected=Expected(threads=THREADS, again=again))

    def log(self) -> list[str]:
        """The lines that were logged, or came from a traceback, since the worker pulls."""
        begin = next(n for n, line in enumerate(self._lines.items) if "Pulling" in line)
        return [
            line
            for line in self._lines.items[begin + 1 :]
            if not line.startswith(("begin ", "end "))
        ]

    def stop(self) -> float:
        """Send SIGTERM; return the process's own seconds until it has ended, with status 0."""
        seconds = seconds_to_end(self.process, signal.SIGTERM)
        self._reader.join(10)
        assert self.process.returncode == 0, self._lines.items
        return seconds

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))


def _count(lines: list[Any], text: str) -> int:
    return sum(text in line for line in lines)


def write_project(project: Project, *, once: bool = False, **settings: object) -> None:
    """Write a project whose log is an ordinary one.

    Args:
        project: where.
        once: whether its subscription has exactly-once delivery.
        settings: keys of ``RELE``.
    """
    project.write_settings(**settings)
    with (project.folder / "settings.py").open("a", encoding="utf-8") as file:
        file.write(
            "import logging\nlogging.basicConfig(level=logging.INFO, "
            'format="%(levelname)s %(name)s: %(message)s")\n'
        )
    project.write("subs.py", HANDLER.replace("{once}", str(once)))


def start_watched(project: Project, times: Times | None = None) -> Watched:
    """Start ``rele-cli run`` in the project, and wait until it pulls.

    Args:
        project: where.
        times: those by which the worker decides; then a program of its own makes it.
    """
    command = ["-m", "rele", "run"]
    if times is not None:
        project.write("worker_by_times.py", f"{IN_A_HURRY}    run({times!r})\n")
        command = ["worker_by_times.py"]
    worker = Watched(project.start(*command))
    worker.wait_for("Pulling messages")
    return worker
