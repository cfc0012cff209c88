"""Watches that an event loop runs, and logs what has kept it from running."""

from __future__ import annotations

import logging
import selectors
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rele.engine.native.consuming.blocked import BlockedWatch, busiest
from rele.engine.stacks import stack_of

logger = logging.getLogger(__name__)


class WatchedSelector(selectors.DefaultSelector):
    """A selector for an event loop, which reports before any event that the loop did not run.

    Args:
        watch: decides about that.
        when_blocked: called with the seconds.
    """

    def __init__(self, watch: BlockedWatch, when_blocked: Callable[[float], object]) -> None:
        super().__init__()
        self._watch = watch
        self._when_blocked = when_blocked

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._note(0.0)
        events = super().select(timeout)
        self._note(float("inf") if timeout is None else max(timeout, 0.0))
        return events

    def _note(self, allowed: float) -> None:
        if seconds := self._watch.note(time.monotonic(), allowed):
            self._when_blocked(seconds)


class ThreadTimes:
    """The processor time of this process's threads, as it was last looked at."""

    def __init__(self) -> None:
        self._last = processor_times()

    def look(self) -> None:
        """Remember the times of now."""
        self._last = processor_times()

    def busiest(self, seconds: float) -> int | None:
        """The thread that has used the processor for most of the last ``seconds``."""
        return busiest(self._last, processor_times(), seconds)


def processor_times() -> Mapping[int, float]:
    """The seconds for which each thread has used the processor, by its identity; Linux only."""
    times: dict[int, float] = {}
    if sys.platform != "linux":
        return times
    for thread in threading.enumerate():
        if thread.ident is not None and thread.native_id is not None:
            with suppress(OSError):  # it has ended
                times[thread.ident] = time.clock_gettime(_clock_of(thread.native_id))
    return times


def _clock_of(native_id: int) -> int:
    """Linux's number of the clock of a thread (``clock_getcpuclockid``)."""
    return (~native_id << 3) | 6


def report_blocked(seconds: float, thread: int | None, work: str | None) -> None:
    """Log that nothing of this process ran for ``seconds``.

    Args:
        seconds: how long.
        thread: the thread that has kept the others from running, if it is known.
        work: what it did; its stack may be at something else by now.
    """
    if thread is None:
        logger.warning(
            "Relé's thread did not run for %.1f s, so no lease was extended meanwhile. The process "
            "was suspended, the machine is overloaded, a log handler waits, or a C extension holds "
            "the interpreter while it waits. That is no outage of Pub/Sub.\n%s",
            seconds,
            "\n".join(_stacks_of_others()),
        )
    elif thread == threading.get_ident():
        logger.warning(
            "Relé's thread was busy for %.1f s, so no lease was extended meanwhile: there is more "
            "to do than one process can. More processes help.",
            seconds,
        )
    else:
        logger.warning(
            "The interpreter was blocked for %.1f s by %s: no other thread ran, so no lease was "
            "extended meanwhile. That is no outage of Pub/Sub. Let a process of its own compute "
            "for so long. Where it is now, after the block: %s",
            seconds,
            work or "a thread that Relé has not started",
            stack_of(thread),
        )


def _stacks_of_others() -> list[Any]:
    me = threading.get_ident()
    return [
        stack_of(each.ident)
        for each in threading.enumerate()
        if each.ident != me and each.name.startswith("rele-")
    ]
