"""The publishes whose outcome is not known yet, and waiting for them at the end."""

from __future__ import annotations

import atexit
import logging
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from rele.backends import BaseBackend
from rele.engine.failures import is_passing
from rele.sending.backend_answers import failure_of

logger = logging.getLogger(__name__)


_LEFT_FOR = 1.0
"""Seconds after which a call that was to run the hooks of a message must have been interrupted."""

_LONGEST_PAUSE = 0.01
"""Seconds between two looks at what is outstanding."""


class Outstanding(Protocol):
    """A publication, as this module sees it."""

    future: Future[str] | None

    @property
    def is_concluded(self) -> bool: ...
    @property
    def left_at(self) -> float: ...
    @property
    def runs_in(self) -> int | None: ...
    def conclude(self, error: BaseException | None) -> None: ...


class OutstandingPublishes:
    """Keeps track of the messages that one publisher is sending.

    When the interpreter exits, the remaining messages are sent, within the publisher's timeout.
    What is done for each message is atomic, so that it may happen in a signal handler or a
    finaliser at any time.

    Args:
        backend: sends the messages.
        exit_timeout: seconds that the exit of the process may wait.
    """

    def __init__(self, backend: BaseBackend, exit_timeout: float) -> None:
        self._backend = backend
        self._exit_timeout = exit_timeout
        self._publications: dict[Outstanding, None] = {}
        self._interrupted: weakref.WeakSet[Outstanding] = weakref.WeakSet()
        self._nothing: SimpleQueue[None] = SimpleQueue()
        self._process_id = os.getpid()
        _close_at_exit(self)

    @property
    def belongs_here(self) -> bool:
        """Whether this process made the publisher; False in a process that was forked later."""
        return self._process_id == os.getpid()

    def watch(self, publication: Outstanding, future: Future[str]) -> None:
        """Let ``flush`` wait until ``publication`` is concluded, as it is once ``future`` is."""
        publication.future = future
        self._publications[publication] = None
        if publication.is_concluded:  # since its future is done
            self.forget(publication)

    def watch_interrupted(self, publication: Outstanding) -> None:
        """Let ``flush`` wait for a publication as long as the backend refers to it.

        Its publish was interrupted, so that only the backend knows whether it has the message.
        """
        self._interrupted.add(publication)

    def forget(self, publication: Outstanding) -> None:
        """Do not wait for ``publication``."""
        self._publications.pop(publication, None)

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
    ) -> list[Outstanding]:
        """Send what is outstanding now, wait for it, and return it."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        watched = self._watched()
        send(timeout)
        pause, left = 0.001, watched
        while left := [each for each in left if _is_to_wait_for(each)]:
            seconds = min(pause, deadline - time.monotonic())
            if seconds <= 0:
                break
            with suppress(Empty):
                self._backend.next_report(self._nothing, seconds)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return watched

    def _watched(self) -> list[Outstanding]:
        while True:
            try:
                return [*self._publications, *self._interrupted]
            except RuntimeError:  # a finaliser or another thread has published meanwhile
                continue


def _is_to_wait_for(publication: Outstanding) -> bool:
    """Whether its hooks must still run, elsewhere; those of an interrupted call run now."""
    is_left = publication.runs_in is None and time.monotonic() - publication.left_at > _LEFT_FOR
    if is_left and publication.future is not None:
        publication.conclude(failure_of(publication.future))
    return not publication.is_concluded and publication.runs_in != threading.get_ident()


def _was_accepted(publication: Outstanding) -> bool:
    future = publication.future
    if future is None:
        return False
    return future.done() and not future.cancelled() and future.exception() is None


def _was_not_sent(publication: Outstanding) -> bool:
    """Whether the message was not sent in time; a refused message was sent."""
    future = publication.future
    if future is None:
        return True
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
