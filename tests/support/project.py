"""A project in a folder of its own, and its real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import rele
from tests.support import engines

REPOSITORY = Path(__file__).parents[2]


class Project:
    """A folder with a ``settings.py`` and a ``subs.py``, on a Pub/Sub server."""

    def __init__(self, folder: Path, server: str, project_id: str) -> None:
        self.folder = folder
        self.project_id = project_id
        self.environment = {
            **os.environ,
            "PUBSUB_EMULATOR_HOST": server,
            "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default,ignore:You are using a:FutureWarning",
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self._processes: list[subprocess.Popen[str]] = []

    def write(self, name: str, code: str) -> Path:
        """Write a file; settings get the engine of the test where they state none."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = textwrap.dedent(code)
        if path.name == "settings.py" and "RELE = " in text:
            text += f"\nRELE.setdefault('ENGINE', {engines.in_use()!r})\n"
        path.write_text(text, encoding="utf-8")
        return path

    def write_settings(self, **settings: object) -> None:
        values = {"GC_PROJECT_ID": self.project_id, "MIDDLEWARE": [], **settings}
        lines = "\n".join(f"    {name!r}: {value!r}," for name, value in values.items())
        self.write(
            "settings.py",
            f"from rele.retry_policy import RetryPolicy\nRELE = {{\n{lines}\n}}\n",
        )

    def start(
        self,
        *arguments: str,
        python: str = sys.executable,
        output: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a Python process in the folder; its output can be read as text."""
        process = subprocess.Popen(
            [python, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def run(self, *arguments: str, python: str = sys.executable) -> tuple[int, str]:
        """Run a Python process in the folder to its end: its exit status and its output."""
        process = self.start(*arguments, python=python)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def kill_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()


def publish_jobs(project: Project, jobs: Iterable[object]) -> None:
    """Publish to the topic ``jobs``, from this process and to the server of its environment."""
    rele.setup({"GC_PROJECT_ID": project.project_id, "MIDDLEWARE": []})
    for job in jobs:
        rele.publish("jobs", job)
    assert rele.publishing.flush(30)


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines up to the one that contains ``text``; the test's time limit is the limit."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"The process ended without {text!r}:\n{''.join(lines)}")


def signal_until_it_ends(process: subprocess.Popen[str], signum: int) -> None:
    """Send one signal after the other, so that some arrive when Python is ending."""
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signum)
        time.sleep(0.002)  # the moments to be hit are as short
