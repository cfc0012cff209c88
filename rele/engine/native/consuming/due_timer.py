"""Wakes a consumer when something is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rele.engine.native.consuming.pull_loop import PullLoop


class DueTimer:
    """Calls ``act`` in the loop when ``next_due`` has come. Used in the loop alone.

    Args:
        loop: where it runs.
        next_due: the time at which something is to be done; ``None``: not before the next event.
        act: does what is due.
    """

    def __init__(
        self, loop: PullLoop, next_due: Callable[[], float | None], act: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._next_due = next_due
        self._act = act
        self._handle: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Note that :attr:`next_due` may have another value now."""
        due, handle = self._next_due(), self._handle
        if handle is not None:
            # One that is too early costs less than another one for each message.
            if due is not None and handle.when() <= due:
                return
            handle.cancel()
        self._handle = None if due is None else self._loop.loop.call_at(due, self._elapse)

    def _elapse(self) -> None:
        self._handle = None
        due = self._next_due()
        if due is not None and due <= self._loop.now():
            self._act()
        else:
            self.set()
