"""How busy the machine is, so that a test that measures seconds does not fail for that."""

from __future__ import annotations

import threading
import time
from pathlib import Path

_THREADS = Path("/proc/self/task")


class OwnTime:
    """Seconds that pass while this process can run: none of a machine that is busy with others.

    They are those of a clock where the operating system does not count how long threads that were
    ready to run have waited for a processor.
    """

    def __init__(self) -> None:
        self._waited: dict[str, int] = {}
        """Nanoseconds by thread, of those that have ended, too."""
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            for thread in _THREADS.glob("*/schedstat"):
                try:
                    _, nanoseconds, _ = thread.read_text().split()
                except (OSError, ValueError):  # it has ended
                    continue
                name = thread.parent.name
                self._waited[name] = max(self._waited.get(name, 0), int(nanoseconds))
            return time.monotonic() - sum(self._waited.values()) / 1e9
