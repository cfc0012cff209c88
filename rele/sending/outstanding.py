"""The publishes whose outcome is not known yet, and waiting for them at the end."""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Protocol, TypeVar

from rele.backends import BaseBackend
from rele.engine.failures import is_passing
from rele.runtime.queues import new_queue
from rele.sending.backend_answers import failure_of
from rele.sending.ends import Forked, Surroundings
from rele.sending.process_end import WaitsForOutcomes, call_at_end, surroundings

logger = logging.getLogger(__name__)


_LEFT_FOR = 1.0
"""Seconds after which a call that was to run the hooks of a message must have been interrupted."""

_LONGEST_PAUSE = 0.01
"""The longest time between two checks of what is outstanding, in seconds."""

Member = TypeVar("Member")


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
        forked: what the setting ``PUBLISHER_FORKED`` says.
    """

    def __init__(
        self, backend: BaseBackend, exit_timeout: float, forked: Forked | None = None
    ) -> None:
        around = surroundings()
        self.each_publish_waits = WaitsForOutcomes(around, forked)
        """Whether a publish calls :meth:`wait`, because the end of the process sends nothing."""
        self._backend = backend
        self._exit_timeout = exit_timeout
        self._publications: dict[Outstanding, None] = {}
        self._interrupted: dict[weakref.ref[Outstanding], None] = {}
        self._nothing: queue.SimpleQueue[None] = new_queue()
        self._process_id = os.getpid()
        _close_at_exit(self, around)

    @property
    def belongs_here(self) -> bool:
        """Whether this process made the publisher; False in a process that was forked later."""
        return self._process_id == os.getpid()

    @property
    def count(self) -> int:
        """How many publishes have no outcome yet, of those that do not wait for theirs."""
        return len(self._publications)

    def watch(self, publication: Outstanding, future: Future[str]) -> None:
        """Let ``flush`` wait for ``publication``, which is concluded after ``future`` is done."""
        publication.future = future
        self._publications[publication] = None
        if publication.is_concluded:  # since its future is done
            self.forget(publication)

    def watch_interrupted(self, publication: Outstanding) -> None:
        """Let ``flush`` wait for a publication as long as the backend refers to it.

        Its publish was interrupted, so that only the backend knows whether it has the message.
        """
        self._interrupted[weakref.ref(publication)] = None
        self._alive_interrupted()

    def forget(self, publication: Outstanding) -> None:
        """Do not wait for ``publication``."""
        self._publications.pop(publication, None)

    def wait(self, publications: Iterable[Outstanding]) -> None:
        """Wait for watched publications as long as the end of the process would.

        Logs how many were not sent in time: they may be lost. Refused messages are not counted.
        """
        watched = [each for each in publications if each in self._publications]
        self._wait(watched, time.monotonic() + self._exit_timeout)
        if late := sum(map(_was_not_sent, watched)):
            logger.error(
                "%d published message(s) may be lost: Pub/Sub had not accepted them within %s s, "
                "and %s may end this process before it does.",
                late,
                self._exit_timeout,
                self.each_publish_waits.runner.value,
            )

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
                "the end of the process. RELE['PUBLISHER_TIMEOUT'] sets this time.",
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
        self._wait(watched, deadline)
        return watched

    def _wait(self, watched: list[Outstanding], deadline: float) -> None:
        """Wait until all are concluded, or until ``deadline``."""
        pause = 0.001
        while watched := [each for each in watched if _is_to_wait_for(each)]:
            seconds = min(pause, deadline - time.monotonic())
            if seconds <= 0 or not self._has_paused(seconds):
                break
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _has_paused(self, seconds: float) -> bool:
        """Let reports be called for ``seconds``; return False in a thread that cannot wait."""
        before = time.monotonic()
        with suppress(queue.Empty):
            self._backend.next_report(self._nothing, seconds)
        return time.monotonic() - before >= seconds / 2

    def _watched(self) -> list[Outstanding]:
        return [*_members(self._publications), *self._alive_interrupted()]

    def _alive_interrupted(self) -> list[Outstanding]:
        """The interrupted publications that may still be sent; the others are forgotten."""
        alive = []
        for reference in _members(self._interrupted):
            publication = reference()
            if publication is None or publication.is_concluded:
                self._interrupted.pop(reference, None)
            else:
                alive.append(publication)
        return alive


def _members(collection: Iterable[Member]) -> list[Member]:
    while True:
        try:
            return [*collection]
        except RuntimeError:  # a finaliser or another thread has changed it meanwhile
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


def _close_at_exit(outstanding: OutstandingPublishes, around: Surroundings) -> None:
    if not any(other.belongs_here for other in _members(_all)):
        call_at_end(_close_all, around.runner)
    _all.add(outstanding)
    if around.is_ending:  # what is registered now may not be called any more
        outstanding.close()


def _close_all() -> None:
    for outstanding in _members(_all):
        if not outstanding.belongs_here:
            continue
        try:
            outstanding.close()
        except Exception:
            logger.exception("A publisher could not send what was outstanding at the exit.")
