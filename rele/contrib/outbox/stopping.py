"""Telling a relay to stop, from wherever."""

from __future__ import annotations

import queue
from contextlib import suppress


class Stop:
    """As an Event that a signal handler may set.

    A handler runs in the main thread in the middle of anything, where taking the lock of an Event
    that is being waited for would never end; ``SimpleQueue.put`` is reentrant.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        self._is_set = True
        self._calls.put(None)

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Return after ``seconds``, or as soon as it is set; return whether it is."""
        if not self._is_set:
            with suppress(queue.Empty):
                self._calls.get(timeout=seconds)
        return self._is_set
