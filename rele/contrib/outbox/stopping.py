"""A request to stop that any thread and any signal handler can make."""

from __future__ import annotations

import queue
from contextlib import suppress


class Stop:
    """Like an Event, but a signal handler may set it.

    A signal handler interrupts the main thread anywhere, also where that holds an Event's lock;
    then setting the Event would never return. ``SimpleQueue.put`` is reentrant.
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
