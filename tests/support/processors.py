"""How busy the machine is, so that a test that measures seconds does not fail for that."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from subprocess import Popen


class OwnTime:
    """Seconds that pass while a process can run: none of a machine that is busy with others.

    They are those of a clock where the operating system does not count how long threads that were
    ready to run have waited for a processor.

    Args:
        process: its id; by default that of this process.
    """

    def __init__(self, process: int | None = None) -> None:
        self._threads = Path(f"/proc/{process or 'self'}/task")
        self._waited: dict[str, int] = {}
        """Nanoseconds by thread, of those that have ended, too."""
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            for thread in self._threads.glob("*/schedstat"):
                try:
                    _, nanoseconds, _ = thread.read_text().split()
                except (OSError, ValueError):  # it has ended
                    continue
                name = thread.parent.name
                self._waited[name] = max(self._waited.get(name, 0), int(nanoseconds))
            return time.monotonic() - sum(self._waited.values()) / 1e9


def seconds_to_end(process: Popen[str], signum: int, at_most: float = 60) -> float:
    """Send a signal to the process; return how many seconds of its own it has taken to end.

    It must not write more than fits into a pipe. Fails after ``at_most`` seconds of a clock.
    """
    now = OwnTime(process.pid)
    sent_at = last = now()
    process.send_signal(signum)
    deadline = time.monotonic() + at_most
    while process.poll() is None:
        assert time.monotonic() < deadline, f"The process runs on for {at_most} s."
        last = now()
        time.sleep(0.005)  # nothing tells how long its threads wait
    return last - sent_at
