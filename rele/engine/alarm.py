"""Calling functions when they are due, in one thread that is started beforehand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Any, Protocol

from rele.engine.threads import start_thread

logger = logging.getLogger(__name__)

Function = Callable[[], object]


class Timer(Protocol):
    """Calls functions later, by a clock of its own."""

    def start(self) -> None:
        """Begin to call functions that are due.

        Raises:
            ThreadStartError: this needs a thread, and none can be started.
        """

    def stop(self) -> None:
        """Call no more functions. Does not wait for a function that is running."""

    @property
    def is_alive(self) -> bool:
        """Whether it calls functions, or has not begun to."""

    def now(self) -> float:
        """The time, in seconds."""

    def call_at(self, at: float, function: Function) -> None:
        """Call ``function`` at the time ``at``, instead of any time given before. Does not wait."""

    def cancel(self, function: Function) -> None:
        """Remove the time that was set for ``function``."""

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Wait until the future is done, for at most ``seconds``."""


class Alarm:
    """A :class:`Timer` by ``time.monotonic()``, with one thread that runs until it is stopped.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._due: dict[Function, float] = {}
        self._is_running = False
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        return self._thread is None or self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it is running.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        with self._changed:
            if not self._is_running:
                self._thread = start_thread(self._name, self._run)
                self._is_running = True

    def stop(self) -> None:
        with self._changed:
            self._is_running = False
            self._due.clear()
            self._changed.notify()

    def now(self) -> float:
        return time.monotonic()

    def call_at(self, at: float, function: Function) -> None:
        with self._changed:
            self._due[function] = at
            self._changed.notify()

    def cancel(self, function: Function) -> None:
        with self._changed:
            self._due.pop(function, None)

    def wait(self, future: Future[Any], seconds: float) -> None:
        futures.wait([future], timeout=seconds)

    def _run(self) -> None:
        while (function := self._next()) is not None:
            try:
                function()
            except BaseException:
                logger.exception("A step of %s failed; the next ones follow.", self._name)

    def _next(self) -> Function | None:
        """Wait for the function that is due next; ``None`` once stopped."""
        with self._changed:
            while self._is_running:
                function = min(self._due, key=self._due.__getitem__, default=None)
                if function is None:
                    self._changed.wait()
                elif (seconds := self._due[function] - self.now()) > 0:
                    self._changed.wait(min(seconds, threading.TIMEOUT_MAX))
                else:
                    del self._due[function]
                    return function
            return None
