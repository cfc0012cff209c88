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

from rele.engine.base import Message, as_message
from rele.engine.google.leases import FOREVER, Lease, Leases

logger = logging.getLogger(__name__)


class DrainingScheduler(ThreadScheduler):  # type: ignore[misc]
    """Runs callbacks in an executor, and drains where Google's scheduler would drop.

    Google's client calls :meth:`shutdown` when it ends a stream, while leases are still extended
    and acknowledgements still sent. What runs then is waited for; what was not begun is handed
    back before that.

    Args:
        executor: runs the callbacks.
        on_shutdown: called when the stream ends, before what runs is waited for.
        leases: end where a message is in hand for too long; without them it may be.
    """

    def __init__(
        self,
        executor: ThreadPoolExecutor,
        on_shutdown: Callable[[], None] | None = None,
        leases: Leases | None = None,
    ) -> None:
        super().__init__(executor)
        self.deadline: float | None = None
        """When to give up waiting, in seconds of ``time.monotonic()``."""
        self.hand_back_held: Callable[[], int] = lambda: 0
        """Gives back what the client has not scheduled; returns how many messages that were."""
        self._on_shutdown = on_shutdown
        self._leases = leases or Leases("a subscription", FOREVER)
        self._waiting: deque[tuple[Callable[[Message], Any], Lease]] = deque()
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
        message = as_message(args[0])
        with self._changed:
            if not self._is_shut_down:
                self._forget_what_is_over()
                self._waiting.append((callback, self._leases.take(message)))
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
        handed_back = self._hand_back_waiting() + self._hand_back_held()
        if handed_back:
            logger.info("%d message(s) that were not begun are handed back.", handed_back)
        if self._on_shutdown is not None:
            self._on_shutdown()
        with self._changed:
            while self._running and (left := self._seconds_left()) > 0:
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
        self._leases.close()
        return []

    def set_deadline(self, deadline: float) -> None:
        """Wait no longer than until ``deadline``, also where waiting has begun."""
        with self._changed:
            self.deadline = deadline
            self._changed.notify_all()

    def _seconds_left(self) -> float:
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def _hand_back_waiting(self) -> int:
        with self._changed:
            leases = [lease for _, lease in self._waiting if not lease.is_over]
            self._waiting.clear()
        for lease in leases:
            self._leases.let_go(lease)
            lease.message.nack()
        return len(leases)

    def _hand_back_held(self) -> int:
        try:
            return self.hand_back_held()
        except Exception:
            logger.exception("What the client held back comes again when its deadline is over.")
            return 0

    def _forget_what_is_over(self) -> None:
        """Let nothing pile up while all threads are stuck."""
        while self._waiting and self._waiting[0][1].is_over:
            self._waiting.popleft()

    def _run_next(self) -> None:
        with self._changed:
            self._forget_what_is_over()
            if not self._waiting:
                return
            callback, lease = self._waiting.popleft()
            if not self._leases.begin(lease):
                return
            self._running += 1
        try:
            callback(lease.message)
        finally:
            self._leases.let_go(lease)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
