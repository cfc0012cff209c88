"""Processes that are started again whenever they end, as a supervisor does in production."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from tests.support.project import Project


class Supervised:
    """A Python process of a project, which is started again until it has ended with status 0.

    Args:
        project: whose it is.
        name: of the file in the project's folder for what it says.
        arguments: of Python.
        ready: what it says when it works.
    """

    def __init__(
        self, project: Project, name: str, arguments: Sequence[str], ready: str = ""
    ) -> None:
        self._project = project
        self._arguments = arguments
        self._ready = ready
        self._log = project.folder / f"{name}.log"
        self._log.touch()
        self._process: subprocess.Popen[str] | None = None
        self._is_wanted = True
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._look_after, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """``kill -9``."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def kill_and_wait(self, seconds: float = 120) -> None:
        """Kill it, and return when it works again."""
        before = self._times_ready()
        self.kill()
        deadline = time.monotonic() + seconds
        while self._times_ready() == before:
            assert time.monotonic() < deadline, self._said()
            time.sleep(0.05)  # it writes into a file

    def suspend(self, seconds: float) -> threading.Timer:
        """Suspend it by SIGSTOP, for so long; the timer that lets it go on, which has begun."""
        with self._lock:
            process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        timer = threading.Timer(seconds, process.send_signal, [signal.SIGCONT])
        timer.start()
        return timer

    def wait(self, seconds: float = 30) -> None:
        """Return when it has ended for good; fails after ``seconds``."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self._said()

    def end(self) -> None:
        """End it by SIGTERM, for good."""
        with self._lock:
            self._is_wanted = False
            if self._process is not None:
                self._process.terminate()
        self.wait()

    def give_up(self) -> None:
        """Kill it, and start it no more."""
        with self._lock:
            self._is_wanted = False
        self.kill()
        self.wait()

    def _look_after(self) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            status = None
            while status != 0:
                with self._lock:
                    if not self._is_wanted:
                        return
                    self._process = self._project.start(*self._arguments, output=log)
                status = self._process.wait()

    def _times_ready(self) -> int:
        return self._log.read_text(encoding="utf-8").count(self._ready)

    def _said(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-30:])
