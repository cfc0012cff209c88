"""Threads that run handlers: started when they are needed, ended when they are not."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from rele.engine.native.forking import gate
from rele.engine.threads import start_thread

logger = logging.getLogger(__name__)

Work = TypeVar("Work")
"""What is handled: a delivery, for example."""

IDLE_SECONDS = 30.0
"""After which a thread ends that has nothing to do."""


class HandlerThreads:
    """Runs functions in threads that are shared by all subscriptions of a process.

    There is a thread for each function that runs, so that no subscription waits for another. Who
    submits functions bounds their number.

    Args:
        name: the beginning of the threads' names.
        idle_seconds: after which a thread ends that has nothing to do.
    """

    def __init__(self, name: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._idle: list[None] = []
        """A token for each thread that waits for work and was not promised any."""

    def run(self, function: Callable[[], object]) -> None:
        """Run ``function`` soon.

        Raises:
            ThreadStartError: it needs another thread, and the system starts no more of them.
        """
        try:
            self._idle.pop()
        except IndexError:
            start_thread(self._name, lambda: self._live(function))
        else:
            self._work.put(function)

    def _live(self, function: Callable[[], object] | None) -> None:
        generation = gate.generation
        while function is not None:
            try:
                function()
            except BaseException:
                logger.exception("A step of %s failed.", threading.current_thread().name)
            # A handler that forks may return in the child, too, whose thread ends here.
            function = self._wait_for_work() if gate.generation == generation else None

    def _wait_for_work(self) -> Callable[[], object] | None:
        self._idle.append(None)
        try:
            return self._work.get(timeout=self._idle_seconds)
        except queue.Empty:
            pass
        try:
            self._idle.pop()
        except IndexError:  # work was promised just now
            return self._work.get()
        return None


class Handlers(Generic[Work]):
    """The messages of one subscription that can be handled, and the threads that handle them.

    Args:
        threads: how many messages are handled at a time.
        handle: handles one message.
        of_process: the threads.
        idle: called in a thread that has nothing more to handle.
    """

    def __init__(
        self,
        threads: int,
        handle: Callable[[Work], None],
        of_process: HandlerThreads,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._number = threads
        self._handle = handle
        self._threads = of_process
        self._idle = idle
        self._ready: deque[Work] = deque()
        self._slots: list[None] = [None] * threads
        """A token for each thread that may be started."""
        self._excess: list[None] = []
        """A token for each thread that runs and is to end after its message."""

    @property
    def running(self) -> int:
        """How many threads handle messages now."""
        return self._number + len(self._excess) - len(self._slots)

    def set_number(self, threads: int) -> None:
        """Let so many messages be handled at a time, after :meth:`start`."""
        for _ in range(threads - self._number):
            _move(self._excess, self._slots)
        for _ in range(self._number - threads):
            _move(self._slots, self._excess)
        self._number = threads

    def add(self, deliveries: Iterable[Work]) -> None:
        """Let threads handle ``deliveries``, after :meth:`start`."""
        self._ready.extend(deliveries)

    def next_due(self) -> float | None:
        """When to call :meth:`start`: not before the next event."""
        return None

    def clear(self) -> list[Work]:
        """Handle nothing of what waits; return it."""
        cleared: list[Work] = []
        with suppress(IndexError):
            while True:
                cleared.append(self._ready.popleft())
        return cleared

    def cancel(self) -> bool:
        """Cancel the handlers that run: a thread cannot be cancelled."""
        return False

    def start(self) -> None:
        """Start as many threads as are needed and allowed.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        for _ in range(len(self._ready)):
            try:
                self._slots.pop()
            except IndexError:
                return
            try:
                self._threads.run(self._handle_ready)
            except BaseException:
                self._slots.append(None)
                raise

    def _handle_ready(self) -> None:
        """Handle what is ready, one message after the other, until there is none."""
        generation = gate.generation
        while gate.generation == generation:
            if self._excess and self._is_excess():
                return
            try:
                delivery = self._ready.popleft()
            except IndexError:
                self._slots.append(None)
                # What was added meanwhile may have found no token.
                if not self._ready:
                    self._idle()
                    return
                try:
                    self._slots.pop()
                except IndexError:  # another thread goes on
                    return
                continue
            self._handle(delivery)

    def _is_excess(self) -> bool:
        """Whether this thread is the one that is to end."""
        try:
            self._excess.pop()
        except IndexError:  # another one has ended
            return False
        self._idle()
        return True


def _move(tokens: list[None], others: list[None]) -> None:
    """Take one of ``tokens``, or add one to ``others`` where there is none."""
    try:
        tokens.pop()
    except IndexError:
        others.append(None)
