"""Calling functions when they are due, in one thread that is started before any is needed."""

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
    """What calls functions later, by a clock of its own."""

    def start(self) -> None:
        """Begin to call what is due; raises ThreadStartError where that takes a thread."""

    def stop(self) -> None:
        """Call nothing any more; does not wait for a function that is being called."""

    def now(self) -> float:
        """The time, in seconds."""

    def call_at(self, at: float, function: Function) -> None:
        """Call ``function`` at that time, rather than at one that was stated before. No waiting."""

    def cancel(self, function: Function) -> None:
        """Do not call ``function`` after all."""

    def wait(self, future: Future[Any], seconds: float) -> None:
        """Wait until the future is done, for that long at most."""


class Alarm:
    """A :class:`Timer` by ``time.monotonic()``, with one thread that runs until it is stopped.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._due: dict[Function, float] = {}
        self._is_running = False

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        with self._changed:
            if not self._is_running:
                start_thread(self._name, self._run)
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
                logger.exception("A step of %s failed; those that follow are taken.", self._name)

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
