"""The one timer of a subscription on the event loop."""

import asyncio
import secrets
from collections.abc import Callable

from rele.emulator.delivery.backlog import DeliveryState


class Alarm:
    """Calls ``action`` once at the earliest of the times that were set since it last did."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self.action: Callable[[], None] = lambda: None

    def set(self, at: float) -> None:
        """Have ``action`` called at ``at`` (``loop.time()``) at the latest."""
        if self._handle is not None:
            if self._handle.when() <= at:
                return
            self._handle.cancel()
        self._handle = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._handle = None
        self.action()


def delivery_on_loop(loop: asyncio.AbstractEventLoop, *, ordered: bool = False) -> DeliveryState:
    """A delivery state that lives by the time of ``loop`` and advances by itself."""
    alarm = Alarm(loop)
    state = DeliveryState(secrets.token_hex(4), loop.time, alarm.set, ordered=ordered)
    alarm.action = state.advance
    return state
