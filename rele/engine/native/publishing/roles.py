"""Work that one thread at a time does, and that any thread can start at any moment."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable

from rele.exceptions import ThreadStartError

_TIME_TO_CLAIM = 1.0
"""Seconds in which a new thread claims its role: until then no other is started."""


class Role:
    """The right to do some work, which one thread at a time has until it returns.

    ``threading.Thread`` takes locks while it starts, for which a signal handler that interrupts the
    start would wait for ever. So this starts a thread by ``_thread``, and the new thread claims the
    role itself, by taking the only token. If a start is interrupted, a thread may have been started
    or not; a thread that finds no token ends at once. To hand work to the role, start it first.

    Args:
        name: the thread's name.
        play: runs in the thread.
        has_work: whether ``play`` must run again. A thread that hands work over while ``play``
            returns sees that the role is taken, and starts no other thread.
    """

    def __init__(
        self, name: str, play: Callable[[], None], has_work: Callable[[], bool] = lambda: False
    ) -> None:
        self._name = name
        self._play = play
        self._has_work = has_work
        self.token = [None]
        """Empty while a thread has the role."""
        self._started_at = float("-inf")
        self.thread: int | None = None
        """The thread that has the role now, by its identity."""

    @property
    def is_mine(self) -> bool:
        """Whether the current thread has the role."""
        return self.thread == _thread.get_ident()

    @property
    def is_free(self) -> bool:
        """Whether no thread has the role."""
        return bool(self.token)

    def start(self) -> None:
        """Start a thread with the role, unless there is one.

        Raises:
            ThreadStartError: the system starts no more threads, or the interpreter shuts down.
        """
        if not self.token or time.monotonic() - self._started_at < _TIME_TO_CLAIM:
            return
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError as error:
            raise ThreadStartError.of_publisher(self._name) from error
        self._started_at = time.monotonic()

    def play_here(self, play: Callable[[], None]) -> bool:
        """Call ``play`` in this thread, with the role; return False if another thread has it."""
        try:
            token = self.token.pop()
        except IndexError:
            return False
        self.thread = _thread.get_ident()
        try:
            play()
        finally:
            self.thread = None
            self._started_at = float("-inf")
            self.token.append(token)
        return True

    def _run(self) -> None:
        threading.current_thread().name = self._name
        while self.play_here(self._play) and self._has_work():
            continue
