"""Waiting for outcomes in an event loop, without blocking it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from rele.runtime.own_records import log_publishing

_logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]


def is_in_running_loop() -> bool:
    """Whether an event loop runs in the calling thread, so that it must not wait."""
    module = sys.modules.get("asyncio")
    return module is not None and module._get_running_loop() is not None


class LoopInUse:
    """An event loop in which a publisher waits for outcomes.

    Args:
        loop: the event loop.
        send_at_once: lets the backend send what it has gathered.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send_at_once: Callable[[], object]) -> None:
        self.loop = loop
        self._send_at_once = send_at_once
        self._will_send = False
        self._functions: deque[Callable[[], object]] = deque()
        self._is_woken = False

    def send_soon(self) -> None:
        """Let the backend send when the tasks that are ready now have published, too."""
        if not self._will_send:
            self._will_send = True
            self.loop.call_soon(self._send)

    def call(self, function: Callable[[], object]) -> None:
        """From any thread, let the loop call ``function`` soon, unless it is closed.

        To wake a loop takes a system call: functions that are added before it runs share one.
        """
        self._functions.append(function)
        if self._is_woken:  # it has not begun to call, and will take this function, too
            return
        self._is_woken = True
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._call_all)

    def _send(self) -> None:
        self._will_send = False
        self._send_at_once()

    def _call_all(self) -> None:
        self._is_woken = False
        while self._functions:
            self._functions.popleft()()


class Countdown:
    """Waits in an event loop until each of several messages was counted, from any thread.

    Args:
        in_use: the event loop, which runs in the calling thread.
    """

    def __init__(self, in_use: LoopInUse) -> None:
        self._in_use = in_use
        self._counted: list[None] = []
        self._expected: int | None = None
        self._ended: asyncio.Future[None] = in_use.loop.create_future()

    def count(self) -> None:
        """Count one message."""
        self._counted.append(None)
        if len(self._counted) == self._expected:
            self._in_use.call(self._end)

    async def wait(self, expected: int, timeout: float) -> None:
        """Return when ``expected`` messages were counted, or after ``timeout`` seconds."""
        self._expected = expected
        if len(self._counted) >= expected:
            return
        timer = self._in_use.loop.call_later(timeout, self._end)
        try:
            await self._ended
        finally:
            timer.cancel()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


class LoopsInUse:
    """The event loops in which a publisher has waited.

    Args:
        send_at_once: lets the backend send what it has gathered.
    """

    def __init__(self, send_at_once: Callable[[], object]) -> None:
        self._send_at_once = send_at_once
        self._all: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopInUse] = WeakKeyDictionary()
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
        in_use = self._all.get(loop)
        if in_use is None:
            in_use = self._all[loop] = LoopInUse(loop, self._send_at_once)
        return in_use


def _where_published() -> str:
    """The file and line of the innermost caller outside of Relé."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _PACKAGE in Path(frame.f_code.co_filename).parents:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno},"
