"""What is Relé's own on top of Google's streaming pull: a stream is started again when it dies."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from google.api_core.exceptions import NotFound

from rele.engine.google.held import hand_back_held
from rele.engine.google.leases import FOREVER, Leases
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.stream_errors import needs_a_person, reason_of, remedy_for
from rele.engine.outages import Trouble

logger = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 15.0
"""Seconds before a dead stream is started again: at first, and at most."""

HEALTHY_AFTER = 15.0
"""Seconds after which a stream that was started again counts as healthy."""

AWAY_GRACE = 1.0
"""Seconds in which a stream may end although nobody answers it."""

_TICK = 0.05
"""Seconds."""

LAST_ACKS = 1.0
"""Seconds for which a stream may go on at the end, to send what was acknowledged at the last."""


class KeptStream:
    """One subscription's streaming pull, started again whenever it dies, until it is drained.

    Args:
        name: the subscription's, for the log.
        open_stream: begins to pull with the scheduler that it is given; returns Google's future.
        prepare: called before a stream is started again whose subscription may be missing;
            returns whether it has seen to it that there is one.
        threads: how many messages are handled at a time.
        max_lease_duration: seconds for which a message may be in hand.
        is_away: whether Pub/Sub is known not to answer, so that no stream ends in order.
    """

    def __init__(
        self,
        name: str,
        open_stream: Callable[[DrainingScheduler], Any],
        prepare: Callable[[], bool],
        threads: int,
        *,
        max_lease_duration: float = FOREVER,
        is_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._max_lease_duration = max_lease_duration
        self._open_stream = open_stream
        self._prepare = prepare
        self._is_away = is_away
        # One executor for all streams of a subscription: while the handlers of a dead stream
        # finish, those of its successor wait, and never more than `threads` run.
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"rele-{name}")
        self._lock = threading.Lock()
        self._streams: list[tuple[Any, DrainingScheduler]] = []
        self._deadline: float | None = None
        self._deaths = 0
        self._opened_at = 0.0
        self._trouble = Trouble(logger)
        self._timer: threading.Timer | None = None

    def open(self) -> Any:
        """Begin to pull; return Google's future."""
        leases = Leases(self._name, self._max_lease_duration)
        scheduler = DrainingScheduler(self._executor, self._start_again_later, leases)
        with self._lock:
            if self._deadline is not None:
                return None
            if self._trouble.has_begun:
                # Before the stream, whose end replaces it.
                self._call_after(HEALTHY_AFTER, self._note_health)
            self._opened_at = time.monotonic()
            future = self._open_stream(scheduler)
            scheduler.hand_back_held = partial(hand_back_held, future)
            self._streams = [s for s in self._streams if s[1].running] + [(future, scheduler)]
        return future

    def drain(self, deadline: float) -> None:
        """Begin to end: no new stream, and no handler waited for after ``deadline``.

        ``deadline`` is in seconds of ``time.monotonic()``. Does not block.
        """
        with self._lock:
            self._deadline = deadline
            if self._timer is not None:
                self._timer.cancel()
            streams = list(self._streams)
        for future, scheduler in streams:
            scheduler.set_deadline(deadline)
            future.cancel()

    def join(self, deadline: float) -> int:
        """Wait until the streams have ended; return how many handlers still run at ``deadline``.

        What is acknowledged while Pub/Sub is away does not arrive: then only the handlers are
        waited for, and the streams for ``AWAY_GRACE`` seconds.
        """
        deadline += LAST_ACKS
        grace = time.monotonic() + AWAY_GRACE
        for future, scheduler in self._streams:
            while not future.done() and time.monotonic() < deadline:
                if self._is_away() and not scheduler.running and time.monotonic() >= grace:
                    break
                wait([future], timeout=min(max(deadline - time.monotonic(), 0), _TICK))
            if not future.done():
                logger.debug("The stream of %s has not ended in time.", self._name)
        self._executor.shutdown(wait=False)
        return self.running

    @property
    def running(self) -> int:
        """How many handlers have begun and not returned."""
        return sum(scheduler.running for _, scheduler in self._streams)

    def _start_again_later(self) -> None:
        with self._lock:
            if self._deadline is not None:
                return
            self._trouble.begin()
            pause = min(FIRST_PAUSE * 2**self._deaths, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
            self._deaths += 1
            logger.debug("The stream of %s starts again in %.1f s.", self._name, pause)
            self._call_after(pause, self._start_again)

    def _call_after(self, seconds: float, function: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, function)
        self._timer.daemon = True
        self._timer.start()

    def _start_again(self) -> None:
        error = self._newest_error()
        is_mended = False
        try:
            if error is None or isinstance(error, NotFound):
                is_mended = self._prepare()
        except Exception as failure:  # noqa: BLE001 - told in a line, and then tried again
            error = failure
        self._report(error, is_mended=is_mended)
        try:
            self.open()
        except Exception as failure:  # noqa: BLE001 - the same
            self._report(failure)
            self._start_again_later()

    def _newest_error(self) -> BaseException | None:
        """Why the newest stream died; ``None`` while its handlers run, until which it is open."""
        future, _ = self._streams[-1]
        error: BaseException | None = future.exception() if future.done() else None
        return error

    def _report(self, error: BaseException | None, *, is_mended: bool = False) -> None:
        is_for_a_person = error is not None and not is_mended and needs_a_person(error)
        remedy = remedy_for(error, self._name) if error and is_for_a_person else ""
        with self._lock:
            if self._deadline is not None:
                return
            self._trouble.tell(
                logging.ERROR if is_for_a_person else logging.WARNING,
                "The stream of %s is interrupted, for %.0f s now: %s. Relé goes on starting it "
                "again.%s",
                self._name,
                self._trouble.seconds,
                reason_of(error) if error else "its handlers still run",
                f" {remedy}" if remedy else "",
            )

    def _note_health(self) -> None:
        with self._lock:
            self._deaths = 0
            self._trouble.end(
                "The stream of %s is back, after %.0f s.", self._name, at=self._opened_at
            )
