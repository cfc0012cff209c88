"""Waiting for outcomes in an event loop, without blocking it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rele.runtime.own_records import log_publishing

_logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]


def is_in_running_loop() -> bool:
    """Whether an event loop runs in the calling thread, so that it must not wait."""
    module = sys.modules.get("asyncio")
    return module is not None and module._get_running_loop() is not None


class Waiter(Protocol):
    """What waits in an event loop."""

    @property
    def is_over(self) -> bool: ...
    def end(self) -> None:
        """Wait no longer; called in the event loop, perhaps more than once."""


class LoopInUse:
    """An event loop in which a publisher waits for outcomes.

    Args:
        loop: the event loop.
        send_at_once: lets the backend send what it has gathered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send_at_once: Callable[[], object]) -> None:
        self.loop = loop
        self.waiting_for_room = asyncio.Lock()
        """Held by the task that is next to get room for its messages."""
        self._send_at_once = send_at_once
        self._will_send = False
        self._ended: deque[Waiter] = deque()
        self._is_woken = False
        self._by_timeout: dict[float, deque[tuple[float, Waiter]]] = {}

    def send_soon(self) -> None:
        """Let the backend send when the tasks that are ready now have published, too."""
        if not self._will_send:
            self._will_send = True
            self.loop.call_soon(self._send)

    def end(self, waiter: Waiter) -> None:
        """From any thread, let ``waiter`` wait no longer, unless the loop is closed.

        To wake a loop takes a system call: waiters that end before it runs share one.
        """
        self._ended.append(waiter)
        if self._is_woken:  # it has not begun to take them, and will take this one, too
            return
        self._is_woken = True
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._end_all)

    def end_after(self, seconds: float, waiter: Waiter) -> None:
        """Let ``waiter`` wait for so many seconds at most.

        Waiters with equal limits end in their order, so one timer is enough for all of them.
        """
        waiters = self._by_timeout.get(seconds)
        deadline = self.loop.time() + seconds
        if waiters is None:
            self._by_timeout[seconds] = deque([(deadline, waiter)])
            self.loop.call_at(deadline, self._time_out, seconds)
            return
        while waiters and waiters[0][1].is_over:
            waiters.popleft()
        waiters.append((deadline, waiter))

    def _send(self) -> None:
        self._will_send = False
        self._send_at_once()

    def _end_all(self) -> None:
        self._is_woken = False
        while self._ended:
            self._ended.popleft().end()

    def _time_out(self, seconds: float) -> None:
        waiters = self._by_timeout[seconds]
        now = self.loop.time()
        while waiters and (waiters[0][1].is_over or waiters[0][0] <= now):
            waiters.popleft()[1].end()
        if waiters:
            self.loop.call_at(waiters[0][0], self._time_out, seconds)
        else:
            del self._by_timeout[seconds]


class LoopsInUse:
    """The event loops in which a publisher has waited.

    Args:
        send_at_once: lets the backend send what it has gathered.
    """

    def __init__(self, send_at_once: Callable[[], object]) -> None:
        self._send_at_once = send_at_once
        self._all: dict[asyncio.AbstractEventLoop, LoopInUse] = {}
        self._has_warned = False

    def warn_if_running(self, seconds: float) -> None:
        """Warn once if the caller is about to block a running event loop for up to ``seconds``."""
        if self._has_warned or not is_in_running_loop():
            return
        self._has_warned = True
        log_publishing(
            _logger,
            logging.WARNING,
            "A blocking publish in %s stops its event loop, with all tasks, until the message is "
            "accepted, for up to %g s: use `await rele.apublish(...)` or `apublish_many` there. "
            "This is logged once per publisher.",
            _where_published(),
            seconds,
        )

    def running(self) -> LoopInUse:
        """The loop that runs in the calling thread."""
        loop = asyncio.get_running_loop()
        return self._all.get(loop) or self._add(loop)

    def _add(self, loop: asyncio.AbstractEventLoop) -> LoopInUse:
        for other in list(self._all):
            if other.is_closed():
                self._all.pop(other, None)
        in_use = self._all[loop] = LoopInUse(loop, self._send_at_once)
        return in_use


def _where_published() -> str:
    """The file and line of the innermost caller outside of Relé."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _PACKAGE in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno},"
