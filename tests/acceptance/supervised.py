"""Processes that are started again whenever they end, as a supervisor does in production."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from tests.acceptance.conftest import Project


class Supervised:
    """A Python process of a project, which is started again until it has ended with status 0.

    Args:
        project: whose it is.
        name: of the file in the project's folder for what it says.
        arguments: of Python.
    """

    def __init__(self, project: Project, name: str, *arguments: str) -> None:
        self._project = project
        self._arguments = arguments
        self._log = project.folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None
        self._is_wanted = True
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self.kills = 0
        """How often it was killed while it ran."""
        self._thread.start()

    def kill(self) -> None:
        """``kill -9``."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self.kills += 1

    def wait(self, seconds: float) -> None:
        """Return when it has ended with status 0; fails after ``seconds``."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.said()

    def end(self, seconds: float = 20) -> None:
        """End it by SIGTERM, for good."""
        with self._lock:
            self._is_wanted = False
            if self._process is not None:
                self._process.terminate()
        self.wait(seconds)

    def give_up(self) -> None:
        """Start it no more, and kill it."""
        with self._lock:
            self._is_wanted = False
        self.kill()

    def said(self) -> str:
        """The last lines that it wrote."""
        return _last_lines(self._log)

    def _look_after(self) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            status = None
            while status != 0:
                with self._lock:
                    if not self._is_wanted:
                        return
                    process = self._project.start(*self._arguments, output=log)
                    self._process = process
                status = process.wait()


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8").splitlines()[-30:])
