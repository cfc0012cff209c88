"""Whether Pub/Sub is available to the consumers of a process, and the log lines about it."""

from __future__ import annotations

import asyncio
import logging
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

    @property
    def is_unavailable(self) -> bool:
        """Whether streams fail now, or the connection is lost."""
        return isinstance(self._availability.state, Unavailable)

    def note_failure(self, now: float, age: float, reason: str) -> None:
        """Note that a stream has ended by an error after ``age`` seconds."""
        if self._availability.note_failure(now, age, reason):
            self._check()

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        states = [channel.get_state(try_to_connect=True) for channel in self._channels()]
        is_ready = any(state.name == "READY" for state in states)
        self._availability.note_connection(loop.time(), is_ready=is_ready)
        if (line := self._availability.check(loop.time())) is not None:
            logger.log(line.level, line.text, *line.arguments)
        if (at := self._availability.next_check(loop.time())) is not None:
            self._timer = loop.call_at(at, self._check)
