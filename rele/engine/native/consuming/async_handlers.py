"""The messages of one subscription with an async handler."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import Context
from typing import Any

from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.handler_loop import HandlerLoop
from rele.engine.native.consuming.steps import Steps
from rele.runtime.completion import has_running_loop

logger = logging.getLogger(__name__)

_TURN = 100
"""Messages without a wait, after which other subscriptions have their turn."""

Handle = Callable[[Any, Callable[[Callable[[], object]], object]], Coroutine[Any, Any, object]]
"""Makes a coroutine that handles a message, of the message and what runs a function in a thread."""


class AsyncHandlers:
    """Hands messages to tasks in the loop of all async handlers.

    The messages that are added together are handed over together: to wake a loop takes a system
    call.

    Args:
        name: the subscription's, for the log.
        number: how many messages are handled at a time.
        of_process: the loop.
        begin: whether a message is to be handled now; called in that loop.
        handle: handles one message.
        finish: called in that loop for each message, at its end.
        idle: called in that loop when there is nothing more to begin with.
    """

    def __init__(
        self,
        name: str,
        number: int,
        of_process: HandlerLoop,
        *,
        begin: Callable[[Delivery], bool],
        handle: Handle,
        finish: Callable[[Delivery], object],
        idle: Callable[[], object],
    ) -> None:
        self._name = name
        self._number = number
        self._loop = of_process
        self._begin = begin
        self._handle = handle
        self._finish = finish
        self._idle = idle
        self._ready: deque[Delivery] = deque()
        self._tasks: dict[Delivery, asyncio.Task[Any]] = {}
        """Those of the handlers that wait for something."""
        self.running = 0
        """How many handlers have begun and not ended."""
        self._is_woken = False
        """Whether the loop is about to look at what is ready."""
        self._takers = 0
        """How many tasks are about to take something that is ready."""
        self._will_be_idle = False

    # From the thread of the consumer.

    def set_number(self, number: int) -> None:
        """Let so many messages be handled at a time, after :meth:`start`."""
        self._number = number

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Let tasks handle ``deliveries``, after :meth:`start`."""
        self._ready.extend(deliveries)

    def clear(self) -> list[Delivery]:
        """Handle nothing of what waits; return it."""
        cleared: list[Delivery] = []
        with suppress(IndexError):
            while True:
                cleared.append(self._ready.popleft())
        return cleared

    def next_due(self) -> float | None:
        """When to call :meth:`start`: not before the next event."""
        return None

    def start(self) -> None:
        """Start as many tasks as are needed and allowed.

        Raises:
            ThreadStartError: the system does not start the thread of the loop.
        """
        # Where too many run, the one that ends looks for the next.
        if self._ready and not self._is_woken and self.running < self._number:
            self._is_woken = True
            try:
                self._loop.call(self._wake)
            except BaseException:
                self._is_woken = False
                raise
            self._loop.watch(self._is_in_use)

    def cancel(self) -> bool:
        """Cancel the handlers that run; return whether there are any."""
        if not self.running:
            return False
        logger.error(
            "%d handler(s) of %s still ran at the end of the shutdown timeout, and are cancelled: "
            "their messages are redelivered.",
            self.running,
            self._name,
        )
        self._loop.call(self._cancel_tasks)
        return True

    def _is_in_use(self) -> bool:
        return self.running > 0

    # In the loop.

    def _wake(self) -> None:
        self._is_woken = False  # first, for what is added meanwhile
        if self._ready and not self._takers and self.running < self._number:
            self._add_taker()

    def _add_taker(self) -> None:
        self._takers += 1
        self._loop.new_task(self._take_ready())

    async def _take_ready(self) -> None:
        """Handle what is ready, until a message waits for something: this is its task then."""
        self._takers -= 1
        me: Any = asyncio.current_task()
        for _ in range(_TURN):
            if self.running >= self._number or is_cancelled(me):
                break
            self.running += 1  # before the message is taken: a stop waits for what runs
            try:
                delivery = self._ready.popleft()
            except IndexError:
                self.running -= 1
                break
            coroutine = self._run(delivery)
            steps = Steps(coroutine, Context())
            if steps.take_first():
                delivery.coroutine = coroutine
                self._tasks[delivery] = me
                # The others will probably wait as well.
                for _ in range(min(len(self._ready), self._number - self.running - self._takers)):
                    self._add_taker()
                await steps
                break
        self._look_for_more()

    async def _run(self, delivery: Delivery) -> None:
        try:
            if self._begin(delivery):
                await self._handle(delivery.message, self._loop.threads.run)
        except BaseException:
            if not has_running_loop():  # it is closed, and nothing follows
                raise
            logger.exception("The callback of %s raised.", self._name)
        self._tasks.pop(delivery, None)
        self.running -= 1
        self._finish(delivery)

    def _look_for_more(self) -> None:
        if self._ready:
            if self.running + self._takers < self._number:
                self._add_taker()
        elif not self._will_be_idle:
            self._will_be_idle = True
            self._loop.call_soon(self._be_idle)  # after all that ends in this round

    def _be_idle(self) -> None:
        self._will_be_idle = False
        if not self._ready:
            self._idle()

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()


def is_cancelled(task: Any) -> bool:
    """Whether the cancellation of ``task`` is requested; never, before Python 3.11."""
    cancelling = getattr(task, "cancelling", None)
    return cancelling is not None and cancelling() > 0
