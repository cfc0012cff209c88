"""Logging that Pub/Sub is unavailable, or available again: one line for all streams."""

from __future__ import annotations

import logging
import threading
from typing import Any

from rele.engine.alarm import Alarm, Timer
from rele.engine.availability import Availability, Unavailable
from rele.engine.times import Times

logger = logging.getLogger(__name__)

_TRY_AGAIN_AFTER = 1.0
"""Seconds until a failed attempt to watch the channel is repeated."""


class ChannelWatch:
    """Watches the gRPC channel of one client while its streams fail.

    :class:`~rele.engine.availability.Availability` makes the decisions. This class has the channel,
    the thread and the log.

    Args:
        address: the server's address, for the log.
        times: the durations that it uses; tests shorten them.
        timer: calls functions that are due; by default it has a thread of its own.
    """

    def __init__(self, address: str, times: Times, timer: Timer | None = None) -> None:
        self._timer = timer or Alarm("rele-availability")
        self._availability = Availability(address, times)
        self._channel: Any = None
        # Reentrant, since a channel may call back from within subscribe().
        self._lock = threading.RLock()
        self._is_closed = False

    @property
    def is_unavailable(self) -> bool:
        """Whether streams fail now, or the connection is lost."""
        return isinstance(self._availability.state, Unavailable)

    @property
    def seconds(self) -> float:
        """For how long Pub/Sub has been unavailable; 0 if it is available."""
        return self._availability.seconds(self._timer.now())

    def watch(self, channel: Any) -> None:
        """Watch ``channel``, a gRPC channel, once a stream has failed."""
        self._channel = channel

    def start(self) -> None:
        """Start the timer.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        self._timer.start()

    def note_failure(self, age: float, reason: str) -> None:
        """Note that a stream has ended by an error after ``age`` seconds."""
        with self._lock:
            if self._is_closed:
                return
            now = self._timer.now()
            if self._availability.note_failure(now, age, reason):
                self._timer.call_at(now, self._follow)

    def close(self) -> None:
        """Log nothing more, and stop watching the channel, which may then be closed."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            if self._channel is not None and not was_closed:
                self._channel.unsubscribe(self._note_state)
        self._timer.stop()

    def _follow(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            # Before subscribing, for which gRPC starts a thread, which may fail.
            self._timer.call_at(self._timer.now() + _TRY_AGAIN_AFTER, self._follow)
            self._channel.subscribe(self._note_state, try_to_connect=True)
            self._timer.cancel(self._follow)
        self._check()

    def _note_state(self, state: Any) -> None:
        with self._lock:
            self._availability.note_connection(self._timer.now(), is_ready=state.name == "READY")

    def _check(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            now = self._timer.now()
            line = self._availability.check(now)
            check_at = self._availability.next_check(now)
            if check_at is None:
                self._channel.unsubscribe(self._note_state)
            else:
                self._timer.call_at(check_at, self._check)
        if line is not None:
            logger.log(line.level, line.text, *line.arguments)
