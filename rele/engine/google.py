"""What is Relé's own on top of Google's streaming pull: a stream is started again when it dies."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

from rele.engine.held_back import hand_back_held
from rele.engine.leases import FOREVER, Leases
from rele.engine.scheduler import DrainingScheduler

logger = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds before a dead stream is started again: at first, and at most."""

HEALTHY_AFTER = 60.0
"""Seconds after which a stream counts as healthy, so that the next pause is the first again."""

LAST_ACKS = 1.0
"""Seconds for which a stream may go on at the end, to send what was acknowledged at the last."""


class KeptStream:
    """One subscription's streaming pull, started again whenever it dies, until it is drained.

    Args:
        name: the subscription's, for the log.
        open_stream: begins to pull with the scheduler that it is given; returns Google's future.
        prepare: called before a stream is started again; sees to it that there is a
            subscription to pull from.
        threads: how many messages are handled at a time.
        max_lease_duration: seconds for which a message may be in hand.
    """

    def __init__(
        self,
        name: str,
        open_stream: Callable[[DrainingScheduler], Any],
        prepare: Callable[[], None],
        threads: int,
        *,
        max_lease_duration: float = FOREVER,
    ) -> None:
        self._name = name
        self._max_lease_duration = max_lease_duration
        self._open_stream = open_stream
        self._prepare = prepare
        # One executor for all streams of a subscription: while the handlers of a dead stream
        # finish, those of its successor wait, and never more than `threads` run.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"rele-{name}")
        self._lock = threading.Lock()
        self._streams: list[tuple[Any, DrainingScheduler]] = []
        self._deadline: float | None = None
        self._deaths = 0
        self._opened_at = 0.0
        self._restart: threading.Timer | None = None

    def open(self) -> Any:
        """Begin to pull; return Google's future."""
        leases = Leases(self._name, self._max_lease_duration)
        scheduler = DrainingScheduler(self._executor, self._start_again_later, leases)
        with self._lock:
            if self._deadline is not None:
                return None
            self._opened_at = time.monotonic()
            future = self._open_stream(scheduler)
            scheduler.hand_back_held = partial(hand_back_held, future)
            self._streams = [s for s in self._streams if s[1].running] + [(future, scheduler)]
        future.add_done_callback(self._log_death)
        return future

    def drain(self, deadline: float) -> None:
        """Begin to end: no new stream, and no handler waited for after ``deadline``.

        ``deadline`` is in seconds of ``time.monotonic()``. Does not block.
        """
        with self._lock:
            self._deadline = deadline
            if self._restart is not None:
                self._restart.cancel()
            streams = list(self._streams)
        for future, scheduler in streams:
            scheduler.set_deadline(deadline)
            future.cancel()

    def join(self, deadline: float) -> int:
        """Wait until the streams have ended; return how many handlers still run at ``deadline``."""
        deadline += LAST_ACKS
        for future, _ in self._streams:
            try:
                future.result(timeout=max(deadline - time.monotonic(), 0.001))
            except FutureTimeoutError:
                logger.debug("The stream of %s has not ended in time.", self._name)
            except BaseException as error:  # noqa: BLE001 - the rest must be shut down all the same
                logger.warning("The stream of %s ended with %r.", self._name, error)
        self._executor.shutdown(wait=False)
        return sum(scheduler.running for _, scheduler in self._streams)

    def _start_again_later(self) -> None:
        with self._lock:
            if self._deadline is not None:
                return
            if time.monotonic() - self._opened_at >= HEALTHY_AFTER:
                self._deaths = 0
            pause = min(FIRST_PAUSE * 2**self._deaths, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
            self._deaths += 1
            logger.warning("The stream of %s ended; it starts again in %.1f s.", self._name, pause)
            self._restart = threading.Timer(pause, self._start_again)
            self._restart.daemon = True
            self._restart.start()

    def _start_again(self) -> None:
        try:
            self._prepare()
            self.open()
        except Exception:
            logger.exception("The stream of %s could not be started again.", self._name)
            self._start_again_later()

    def _log_death(self, future: Future[Any]) -> None:
        error = future.exception()
        if error is not None:
            logger.warning("The stream of %s had ended with: %s", self._name, error)
