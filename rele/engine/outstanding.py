"""The publishes whose outcome is not known yet, and waiting for them at the end."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from rele.backends import BaseBackend

logger = logging.getLogger(__name__)


class OutstandingPublishes:
    """Keeps count of what one publisher has under way.

    When the interpreter exits, what is left is sent, within the publisher's timeout.

    Args:
        backend: what sends them.
        exit_timeout: seconds that the exit of the process may wait.
    """

    def __init__(self, backend: BaseBackend, exit_timeout: float) -> None:
        self._backend = backend
        self._exit_timeout = exit_timeout
        self._futures: set[Future[str]] = set()
        self._changed = threading.Condition()
        self._process_id = os.getpid()
        _close_at_exit(self)

    @property
    def belongs_here(self) -> bool:
        """Whether this is the process that made it, and none that was forked off."""
        return self._process_id == os.getpid()

    def watch(self, future: Future[str], report: Callable[[Future[str]], None]) -> None:
        """Call ``report`` with ``future`` when it is done, and count it until that has returned."""
        if issubclass(type(future), Future):  # a test's stand-in may never be done
            with self._changed:
                self._futures.add(future)
        future.add_done_callback(partial(self._conclude, report))

    def flush(self, timeout: float | None = None) -> bool:
        """Send all at once and wait up to ``timeout`` seconds; return whether all succeeded."""
        return self._finish(self._backend.flush, timeout) == 0

    def close(self) -> None:
        """Send all before the process ends; log how many could not be sent."""
        lost = self._finish(self._backend.close, self._exit_timeout)
        if lost:
            logger.error(
                "%d published message(s) were lost: Pub/Sub had not accepted them within %s s of "
                "the end of the process.",
                lost,
                self._exit_timeout,
            )

    def _finish(self, send: Callable[[float | None], None], timeout: float | None) -> int:
        """Send what is under way now; return how much of it was not accepted in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            watched = set(self._futures)
        send(timeout)
        with self._changed:
            self._changed.wait_for(
                lambda: not watched & self._futures,
                None if deadline is None else max(deadline - time.monotonic(), 0),
            )
        return sum(1 for future in watched if _was_not_accepted(future))

    def _conclude(self, report: Callable[[Future[str]], None], future: Future[str]) -> None:
        try:
            report(future)
        finally:
            with self._changed:
                self._futures.discard(future)
                self._changed.notify_all()


def _was_not_accepted(future: Future[str]) -> bool:
    return not future.done() or future.exception() is not None


_all: weakref.WeakSet[OutstandingPublishes] = weakref.WeakSet()


def _close_at_exit(outstanding: OutstandingPublishes) -> None:
    if not any(other.belongs_here for other in _all):
        _call_at_exit(_close_all)
    _all.add(outstanding)


def _call_at_exit(function: Callable[[], None]) -> None:
    atexit.unregister(function)
    atexit.register(function)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        # Before Python 3.13 a forked child of multiprocessing ends without atexit.
        from multiprocessing.util import Finalize

        Finalize(None, function, exitpriority=0)


def _close_all() -> None:
    for outstanding in list(_all):
        if outstanding.belongs_here:
            outstanding.close()
