"""Running callbacks so that a stream can end without losing or repeating work."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

logger = logging.getLogger(__name__)


class DrainingScheduler(ThreadScheduler):  # type: ignore[misc]
    """Runs callbacks in an executor, and drains where Google's scheduler would drop.

    Google's client calls :meth:`shutdown` when it ends a stream, while leases are still extended
    and acknowledgements still sent. What runs then is waited for; what was not begun is handed
    back before that.
    """

    def __init__(
        self, executor: ThreadPoolExecutor, on_shutdown: Callable[[], None] | None = None
    ) -> None:
        super().__init__(executor)
        self.deadline: float | None = None
        """When to give up waiting, in seconds of ``time.monotonic()``."""
        self._on_shutdown = on_shutdown
        self._waiting: deque[tuple[Callable[..., Any], Any]] = deque()
        self._changed = threading.Condition()
        self._running = 0
        self._is_shut_down = False

    @property
    def running(self) -> int:
        """How many callbacks have begun and not returned."""
        return self._running

    def schedule(
        self,
        callback: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Run ``callback(message)`` soon; hand the message back where no more is begun."""
        (message,) = args
        with self._changed:
            if not self._is_shut_down:
                self._waiting.append((callback, message))
                self._executor.submit(self._run_next)
                return
        message.nack()

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:
        """Hand back what was not begun, then wait for what runs.

        Returns:
            nothing that Google's client would have to hand back.
        """
        with self._changed:
            self._is_shut_down = True
            not_begun = [message for _, message in self._waiting]
            self._waiting.clear()
        for message in not_begun:
            message.nack()
        if not_begun:
            logger.info("%d message(s) that were not begun are handed back.", len(not_begun))
        if self._on_shutdown is not None:
            self._on_shutdown()
        with self._changed:
            while self._running and (left := self._seconds_left()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        return []

    def set_deadline(self, deadline: float) -> None:
        """Wait no longer than until ``deadline``, also where waiting has begun."""
        with self._changed:
            self.deadline = deadline
            self._changed.notify_all()

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def _run_next(self) -> None:
        with self._changed:
            if not self._waiting:
                return
            callback, message = self._waiting.popleft()
            self._running += 1
        try:
            callback(message)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
