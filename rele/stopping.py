"""Being told to stop, and ending a process that does not end by itself."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger(__name__)

_SECOND_SIGNAL_AFTER = 1.0
"""Seconds: one Ctrl-C may arrive twice, from the terminal and from a parent process."""

_LONGEST_WAIT = 0.25
"""Seconds. A signal that another thread happens to take does not wake the main thread, which runs
its handler: a thread that is just being started takes it, in one of eight under load."""

_LAST_WORDS_SECONDS = 1.0


class StopRequest:
    """Tells the main thread to stop, from a signal handler.

    A handler runs in the main thread in the middle of anything, where taking the lock of an
    Event that is being waited for would never end; ``SimpleQueue.put`` is reentrant.
    """

    def __init__(self) -> None:
        self.has_begun = False
        self._requested_at: float | None = None
        self._requests: queue.SimpleQueue[None] = queue.SimpleQueue()

    def request(self) -> None:
        """Ask to stop; the second time, a second or more later, end the process with status 1."""
        now = time.monotonic()
        if self._requested_at is None:
            self._requested_at = now
            self._requests.put(None)
        elif now - self._requested_at >= _SECOND_SIGNAL_AFTER:
            os._exit(1)

    def wait(self, seconds: float) -> bool:
        """Whether to stop; waits for that for ``seconds`` at most."""
        try:
            self._requests.get(timeout=min(seconds, _LONGEST_WAIT))
        except queue.Empty:
            return False
        return True


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
