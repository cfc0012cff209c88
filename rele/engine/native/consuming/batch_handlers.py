"""The batches of one subscription, and the threads that handle them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.handler_threads import HandlerThreads

logger = logging.getLogger(__name__)


class BatchHandlers:
    """Hands batches to threads. Used in the loop alone.

    Args:
        threads: how many batches are handled at a time.
        batching: gathers them.
        of_process: the threads.
        begin: called in a thread with a batch; returns the messages of those deliveries with which
            a handler may begin, as it does then.
        handle: handles and settles messages, but for those that are left unsettled behind a failed
            one of their ordering key.
        end: called in the thread at the end of a batch. It lets the loop call :meth:`finish`.
        now: the clock.
    """

    def __init__(
        self,
        threads: int,
        batching: Batching,
        of_process: HandlerThreads,
        *,
        begin: Callable[[list[Delivery]], list[Any]],
        handle: Callable[..., object],
        end: Callable[[list[Delivery]], object],
        now: Callable[[], float],
    ) -> None:
        self._number = threads
        self._batching = batching
        self._threads = of_process
        self._begin = begin
        self._handle = handle
        self._end = end
        self._now = now
        self.running = 0
        """How many batches are being handled."""

    def set_number(self, threads: int) -> None:
        """Let so many batches be handled at a time, after :meth:`start`."""
        self._number = threads

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Let ``deliveries`` be parts of batches."""
        for delivery in deliveries:
            self._batching.add(delivery)

    def clear(self) -> list[Delivery]:
        """Handle nothing of what waits; return it."""
        return self._batching.clear()

    def cancel(self) -> bool:
        """Cancel the handlers that run: a thread cannot be cancelled."""
        return False

    def start(self) -> None:
        """Hand over as many batches as are complete and allowed.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        while self.running < self._number and (batch := self._batching.take_due(self._now())):
            try:
                self._threads.run(partial(self._run, batch))
            except BaseException:
                self._batching.put_back(batch)
                raise
            self.running += 1

    def finish(self, batch: list[Delivery], is_wanted: Callable[[Delivery], bool]) -> None:
        """Note that the thread of ``batch`` has ended.

        Args:
            batch: what was handled.
            is_wanted: whether a delivery that waited for it is still to be handled.
        """
        self.running -= 1
        self._batching.release(batch, is_wanted)

    def abandon(self, delivery: Delivery, is_wanted: Callable[[Delivery], bool]) -> None:
        """Go on with the key of ``delivery``, whose handler may never return.

        Args:
            delivery: what was outstanding for too long.
            is_wanted: as for :meth:`finish`.
        """
        self._batching.abandon(delivery, is_wanted)

    def next_due(self) -> float | None:
        """When to call :meth:`start`; ``None``: not before the next event."""
        return self._batching.next_due() if self.running < self._number else None

    def _run(self, batch: list[Delivery]) -> None:
        """In a thread: handle those of ``batch`` that are still leased."""
        try:
            messages = self._begin(batch)
            if messages:
                self._handle(messages, leaves_followers=True)
        except BaseException:
            logger.exception("The callback of a batch raised.")
        finally:
            self._end(batch)
