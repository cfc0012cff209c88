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
from rele.engine.failures import is_passing

logger = logging.getLogger(__name__)


class OutstandingPublishes:
    """Keeps track of the messages that one publisher is sending.

    When the interpreter exits, the remaining messages are sent, within the publisher's timeout.

    Args:
        backend: sends the messages.
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
        """Whether this process made the publisher; False in a process that was forked later."""
        return self._process_id == os.getpid()

    def watch(self, future: Future[str], report: Callable[[Future[str]], None]) -> None:
        """Call ``report(future)`` when it is done; ``flush`` waits until that has returned."""
        if issubclass(type(future), Future):  # a test's stand-in may never be done
            with self._changed:
                self._futures.add(future)
        future.add_done_callback(partial(self._conclude, report))

    def flush(self, timeout: float | None = None) -> bool:
        """Send all at once and wait up to ``timeout`` seconds; return whether all succeeded."""
        return all(map(_was_accepted, self._finish(self._backend.flush, timeout)))

    def close(self) -> None:
        """Send all before the process ends; log how many could not be sent in time.

        Refused messages are not counted: the hooks have reported them.
        """
        watched = self._finish(self._backend.close, self._exit_timeout)
        if lost := sum(map(_was_not_sent, watched)):
            logger.error(
                "%d published message(s) were lost: Pub/Sub had not accepted them within %s s of "
                "the end of the process.",
                lost,
                self._exit_timeout,
            )

    def _finish(
        self, send: Callable[[float | None], None], timeout: float | None
    ) -> set[Future[str]]:
        """Send what is outstanding now, wait for it, and return its futures."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            watched = set(self._futures)
        send(timeout)
        with self._changed:
            self._changed.wait_for(
                lambda: not watched & self._futures,
                None if deadline is None else max(deadline - time.monotonic(), 0),
            )
        return watched

    def _conclude(self, report: Callable[[Future[str]], None], future: Future[str]) -> None:
        try:
            report(future)
        finally:
            with self._changed:
                self._futures.discard(future)
                self._changed.notify_all()


def _was_accepted(future: Future[str]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _was_not_sent(future: Future[str]) -> bool:
    """Whether the message was not sent in time; a refused message was sent."""
    if future.cancelled():
        return False
    error = future.exception() if future.done() else None
    return not future.done() or (error is not None and is_passing(error))


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
        if not outstanding.belongs_here:
            continue
        try:
            outstanding.close()
        except Exception:
            logger.exception("A publisher could not send what was outstanding at the exit.")
