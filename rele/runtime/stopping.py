"""Stopping a process that works until a signal, and ending one that does not end by itself."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

logger = logging.getLogger(__name__)

_SECOND_SIGNAL_AFTER = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal and from a parent process."""

_LONGEST_WAIT = 0.25
"""Seconds. A signal that another thread happens to take does not wake the main thread, which runs
its handler: a thread that is just being started takes it, in one of eight under load."""

_LAST_WORDS_SECONDS = 1.0


STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Those by which a terminal that closes, a supervisor or a person stops a process."""

Result = TypeVar("Result")


def stop_signals(*names: str) -> list[signal.Signals]:
    """Those of ``names`` that this system has, but for a SIGHUP that ``nohup`` lets be ignored.

    Args:
        names: by default :data:`STOP_SIGNALS`.
    """
    known = [signal.Signals[name] for name in names or STOP_SIGNALS if hasattr(signal, name)]
    return [
        each
        for each in known
        if each.name != "SIGHUP" or signal.getsignal(each) is not signal.SIG_IGN
    ]


class StopRequestedError(Exception):
    """A stop was requested while something was waited for."""


class StopRequest:
    """Lets a signal handler ask the main thread to stop.

    A handler runs in the main thread in the middle of anything, where taking the lock of an
    Event that is being waited for would never end; ``SimpleQueue.put`` is reentrant.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self._requested_at: float | None = None
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()

    def request(self) -> None:
        """Ask to stop; the second time, a second or more later, end the process with status 1."""
        now = time.monotonic()
        if self._requested_at is None:
            self._requested_at = now
            self._wake_ups.put(None)
        elif now - self._requested_at >= _SECOND_SIGNAL_AFTER:
            os._exit(1)

    def wait(self, seconds: float) -> bool:
        """Whether to stop; waits for that for ``seconds`` at most."""
        if self._requested_at is None:
            self._await_wake_up(seconds)
        return self._requested_at is not None

    def run_unless_stopped(self, function: Callable[[], Result]) -> Result:
        """Call ``function`` in a thread, since what waits for a server may take minutes.

        Raises:
            StopRequestedError: a stop was requested before it returned. It is left alone, in a
                thread that holds up no process that ends.
        """
        outcome: Future[Result] = Future()
        thread = threading.Thread(target=_complete, args=(outcome, function), daemon=True)
        outcome.add_done_callback(lambda outcome: self._wake_ups.put(None))
        if self._requested_at is None:
            thread.start()
        while not outcome.done():
            if self._requested_at is not None:
                raise StopRequestedError
            self._await_wake_up(_LONGEST_WAIT)
        return outcome.result()

    def _await_wake_up(self, seconds: float) -> None:
        with suppress(queue.Empty):
            self._wake_ups.get(timeout=min(seconds, _LONGEST_WAIT))


def _complete(outcome: Future[Result], function: Callable[[], Result]) -> None:
    try:
        outcome.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        outcome.set_exception(error)


def take_step(finish: Callable[[], object]) -> None:
    """Call ``finish``; an error of it is logged, so that the other steps follow."""
    try:
        finish()
    except Exception:
        logger.exception("A step of the shutdown failed; the others follow.")


def exit_without_waiting(handlers: int, timeout: float) -> None:
    """End the process with status 1 although threads of its own still run.

    Args:
        handlers: how many are given up.
        timeout: seconds for which they were waited for.
    """
    # The process ends even where its output blocks, or its reader has ended before it.
    last_words = threading.Thread(target=_say_last_words, args=(handlers, timeout), daemon=True)
    last_words.start()
    last_words.join(_LAST_WORDS_SECONDS)
    os._exit(1)


def _say_last_words(handlers: int, timeout: float) -> None:
    logger.error(
        "%d handler(s) still ran after %s s and are given up: their messages will be delivered "
        "again.",
        handlers,
        timeout,
    )
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(Exception):
            flush()
