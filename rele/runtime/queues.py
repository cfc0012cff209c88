"""Queues between threads, also where gevent or eventlet has replaced the threads by greenlets."""

from __future__ import annotations

import _queue
import _thread
import queue
import time
from collections import deque
from contextlib import suppress
from typing import Any


def new_queue() -> queue.SimpleQueue[Any]:
    """Make a queue whose ``put`` may be called at any moment, in the middle of itself, too.

    ``put`` is one atomic operation, also in a signal handler and in a finaliser. ``get`` stops only
    the calling thread or greenlet.
    """
    is_original = queue.SimpleQueue is _queue.SimpleQueue
    return queue.SimpleQueue() if is_original else GreenQueue()  # type: ignore[return-value]


class GreenQueue:
    """A ``queue.SimpleQueue`` for greenlets, which threads of the system may use as well.

    gevent's own queue breaks when another thread than that of its greenlets uses it; its locks do
    not.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiters: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                if not block:
                    raise queue.Empty from None
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise queue.Empty
            self._wait(left)

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)

    def _wake(self) -> None:
        """Wake all that wait."""
        while self._waiters:
            try:
                waiter = self._waiters.popleft()
            except IndexError:  # another thread has woken it
                return
            waiter.release()

    def _wait(self, seconds: float | None) -> None:
        """Wait until something is put; return at once if something is there."""
        waiter = _thread.allocate_lock()
        waiter.acquire()
        self._waiters.append(waiter)
        if not self._items:
            waiter.acquire(timeout=-1 if seconds is None else min(seconds, _thread.TIMEOUT_MAX))
        with suppress(ValueError):  # it was woken
            self._waiters.remove(waiter)
