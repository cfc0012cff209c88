"""The demo as a person runs it: a process of a terminal of its own."""

import os
import queue
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

CHECKOUT = Path(__file__).resolve().parents[2]
LIMIT = 60.0


class RunningDemo:
    """A demo whose database and uploads are in `folder`; at the end of `with` nothing is left."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.output = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "testproject.demo"],
            cwd=CHECKOUT,
            env={
                **os.environ,
                "DATABASE_URL": f"sqlite:///{folder / 'gallery.sqlite3'}",
                "MEDIA_ROOT": str(folder / "media"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "RunningDemo":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.press_ctrl_c()
        self.wait_for_end()

    def wait_for(self, pattern: str) -> str:
        """Return what the first group of `pattern` matches, once a line of the output does."""
        deadline = time.monotonic() + LIMIT
        while line := self._lines.get(timeout=max(0.0, deadline - time.monotonic())):
            if found := re.search(pattern, line):
                return found.group(1)
        raise AssertionError(f"It ended without a line like {pattern!r}:\n{self.output}")

    def wait_for_end(self) -> int:
        """Return the exit status."""
        status = self.process.wait(timeout=LIMIT)
        self._reader.join()
        return status

    def press_ctrl_c(self) -> None:
        """Interrupt the process group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def children(self) -> dict[int, str]:
        """Return the processes the demo has started: the command line of each number."""
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        processes = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
        parent = str(self.process.pid)
        return {int(pid): command for pid, ppid, command in processes if ppid == parent}

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.output += line
                self._lines.put(line)
        self._lines.put(None)


def is_running(pid: int) -> bool:
    """Tell whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
