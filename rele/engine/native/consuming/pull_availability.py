"""Whether Pub/Sub is available to the consumers of a process, and the log lines about it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from rele.engine.availability import Availability, Unavailable
from rele.engine.times import Times

logger = logging.getLogger(__name__)


class PullAvailability:
    """Watches the connections while streams fail. Used in the loop alone.

    :class:`~rele.engine.availability.Availability` makes the decisions.

    Args:
        address: the server's address, for the log.
        channels: the open connections.
        times: the durations that it uses.
    """

    def __init__(
        self, address: str, channels: Callable[[], list[Any]], times: Times | None = None
    ) -> None:
        self._availability = Availability(address, times or Times())
        self._channels = channels
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = 0.0
        """Seconds in which the loop did not run: they are no part of an outage."""

    @property
    def is_unavailable(self) -> bool:
        """Whether streams fail now, or the connection is lost."""
        return isinstance(self._availability.state, Unavailable)

    @property
    def seconds(self) -> float:
        """From any thread: for how long Pub/Sub has been unavailable; 0 if it is available."""
        return self._availability.seconds(time.monotonic() - self._blocked)

    def note_blocked(self, seconds: float) -> None:
        """Note that the loop did not run for the last ``seconds``."""
        self._blocked += seconds

    def note_failure(self, now: float, age: float, reason: str) -> None:
        """Note that a stream has ended by an error after ``age`` seconds."""
        if self._availability.note_failure(now - self._blocked, age, reason):
            self._check()

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time() - self._blocked
        try:
            states = [channel.get_state(try_to_connect=True) for channel in self._channels()]
            is_ready = any(state.name == "READY" for state in states)
            self._availability.note_connection(now, is_ready=is_ready)
            if (line := self._availability.check(now)) is not None:
                logger.log(line.level, line.text, *line.arguments)
        finally:
            if (at := self._availability.next_check(now)) is not None:
                self._timer = loop.call_at(at + self._blocked, self._check)
