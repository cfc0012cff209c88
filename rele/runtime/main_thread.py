"""Waits of the main thread, which a signal ends in whatever thread it arrives."""

from __future__ import annotations

import os
import selectors
import signal
from contextlib import suppress
from functools import cache

LONGEST_WAIT = 0.25
"""Seconds between two looks where a signal may not end a wait. Python runs signal handlers in the
main thread, but a signal that the system delivers to another thread does not wake the main thread.
(Seen for one signal in eight, under load.)"""

_LONGEST_SELECT = 86_400.0
"""Seconds: a wait without end is several, as there is a longest one that a system knows."""

_NO_DESCRIPTOR = -1


class MainThreadWait:
    """A wait that ends when a signal arrives or another thread calls :meth:`end`.

    At each signal Python writes a byte into a pipe (``signal.set_wakeup_fd``), which the main
    thread waits for. So a process that has nothing to do does not wake up to look.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        for each in (self._reader, self._writer):
            os.set_blocking(each, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reader, selectors.EVENT_READ)

    def end(self) -> None:
        """End the wait, or the next one if there is none. A signal handler may call it, too."""
        with suppress(BlockingIOError):  # the pipe is full, so the wait has ended
            os.write(self._writer, b"\0")

    def wait(self, seconds: float) -> None:
        """Wait for so many seconds at most. Only the main thread may call it."""
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            if before not in (_NO_DESCRIPTOR, self._writer):  # somebody else relies on being woken
                signal.set_wakeup_fd(before)
                seconds = min(seconds, LONGEST_WAIT)
            if self._selector.select(min(seconds, _LONGEST_SELECT)):
                with suppress(BlockingIOError):
                    os.read(self._reader, 4096)
        finally:
            signal.set_wakeup_fd(before)


def main_thread_wait() -> MainThreadWait | None:
    """That of this process; ``None`` where a system cannot wait for a pipe."""
    return _of_process(os.getpid()) if os.name == "posix" else None


@cache
def _of_process(pid: int) -> MainThreadWait:
    return MainThreadWait()
