"""What the threads of handlers report to the loop, which takes it together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.delivery import ACK, Delivery, Settled
from rele.engine.native.consuming.pull_loop import PullLoop

WATCHED_EVERY = 0.005
"""Seconds until the loop takes what it was not woken for."""

Report = tuple[Delivery, Settled | None]
"""A delivery, and how it was settled; ``None``: its handler has returned."""


class Reports:
    """Reports of deliveries, from any thread to the loop.

    Waking the loop costs more than handling a small message: a system call, and a change of the
    thread that runs. So it is woken when a thread has nothing more to do, or waits for an answer.
    Meanwhile the loop looks every few milliseconds, since a handler may run for long after the
    report of another message. While nothing is reported, it does not look.

    Args:
        loop: where reports are taken.
        take: called in the loop when there are reports.
    """

    def __init__(self, loop: PullLoop, take: Callable[[], None]) -> None:
        self._loop = loop
        self._take = take
        self.waiting: deque[Report] = deque()
        """What was not taken yet."""
        self._is_watched = False
        self._is_woken = False

    def add(self, delivery: Delivery, settled: Settled | None = None) -> None:
        """From any thread: report that ``delivery`` was settled, or that its handler returned."""
        self.waiting.append((delivery, settled))
        # The loop looks once more after it has noted that it looks no more.
        if not self._is_watched:
            self.wake()

    def wake(self) -> None:
        """From any thread: let the loop take what there is, soon."""
        if self.waiting and not self._is_woken:
            self._is_woken = True
            self._loop.call(self._wake)

    def note_in(self, core: ConsumeCore, now: float) -> None:
        """In the loop: take what there is, acks and ends of handlers together."""
        acked: list[Delivery] = []
        finished: list[Delivery] = []
        while self.waiting:
            delivery, settled = self.waiting.popleft()
            if settled is None:
                finished.append(delivery)
            elif settled is ACK:
                acked.append(delivery)
            else:
                core.settle(delivery, settled, now)
        core.ack_together(acked, now)
        core.finish_together(finished, now)

    def watch(self) -> None:
        """In the loop: look for reports for as long as there are some, beginning now."""
        if not self._is_watched:
            self._is_watched = True
            self._loop.loop.call_later(WATCHED_EVERY, self._look)

    def _wake(self) -> None:
        self._is_woken = False
        self._take()

    def _look(self) -> None:
        self._is_watched = False
        if self.waiting:
            self.watch()
            self._take()
