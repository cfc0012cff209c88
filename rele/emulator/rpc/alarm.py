"""The one timer of a subscription on the event loop."""

import asyncio
import secrets
from collections.abc import Callable

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.ledger import NO_LEDGER, Ledger


class Alarm:
    """Calls ``action`` once at the earliest of the times that were set since its last call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self.action: Callable[[], None] = lambda: None

    def set(self, at: float) -> None:
        """Have ``action`` called at ``at`` (``loop.time()``) or earlier."""
        if self._handle is not None:
            if self._handle.when() <= at:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._handle = None
        self.action()


def backlog_on_loop(
    loop: asyncio.AbstractEventLoop, *, ordered: bool = False, ledger: Ledger = NO_LEDGER
) -> Backlog:
    """A backlog whose clock is that of ``loop``, and which advances by itself."""
    alarm = Alarm(loop)
    backlog = Backlog(secrets.token_hex(4), loop.time, alarm.set, ordered=ordered, ledger=ledger)
    alarm.action = backlog.advance
    return backlog
