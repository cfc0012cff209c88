"""A model of async handlers: tasks in an event loop of their own."""

from __future__ import annotations

from collections.abc import Callable

from rele.engine.native.consuming.delivery import Delivery
from tests.simulation.clockwork import TICK
from tests.simulation.handlers import Behaviour, ModelHandlers


class ModelTasks(ModelHandlers):
    """What ``rele/engine/native/consuming/async_handlers.py`` is with a real loop.

    All tasks begin, end and wait in one thread. A handler that holds the interpreter, as threads
    do, here only blocks that loop: the process keeps its leases meanwhile. What runs at the end of
    a stop is cancelled.
    """

    _blocked_until = 0.0
    _is_woken = False

    def start(self) -> None:
        """Wake the loop."""
        if self._ready and self._idle > 0 and not self._is_woken:
            self._is_woken = True
            self._process.soon(self._in_loop, self._wake)

    def cancel(self) -> bool:
        """Cancel the handlers that run, and those that wait for a confirmation."""
        self._process.soon(self._in_loop, self._cancel)
        return self.running > 0

    def _wake(self) -> None:
        self._is_woken = False
        while self._ready and self._idle > 0:
            self._idle -= 1
            self._next()

    def _cancel(self) -> None:
        for delivery in [*self.begun]:
            del self.begun[delivery]
            self._process.note("abandoned", delivery)
            self._return(delivery)
        for delivery in [*self._waiting]:
            self._confirmed(delivery)

    def _hold(self, seconds: float) -> None:
        self._blocked_until = self._process.clock() + seconds

    def _end(self, delivery: Delivery, behaviour: Behaviour, fails: bool) -> None:
        self._in_loop(self._end_unless_cancelled, delivery, behaviour, fails)

    def _end_unless_cancelled(self, delivery: Delivery, behaviour: Behaviour, fails: bool) -> None:
        if delivery in self.begun:
            super()._end(delivery, behaviour, fails)

    def _confirmed(self, delivery: Delivery) -> None:
        self._in_loop(super()._confirmed, delivery)

    def _in_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` as soon as no handler blocks the loop."""
        blocked_for = self._blocked_until - self._process.clock()
        if blocked_for > 0:
            self._process.later(max(blocked_for, TICK), self._in_loop, function, *arguments)
        else:
            function(*arguments)
