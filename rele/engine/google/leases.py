"""Ending the lease of a message that has been in hand for too long."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from itertools import takewhile
from types import FrameType

from rele.engine.base import Message

logger = logging.getLogger(__name__)

FOREVER = float("inf")
"""As a duration: the lease does not end by itself."""

_BETWEEN_LOOKS = 1.0
"""Seconds: the least, so that a worker that is far behind does not log a line for each message."""

_GATHERING = 0.1
"""Seconds for which a lease lasts longer, so that it ends together with what came with it."""


@dataclass(eq=False)
class Lease:
    """A message in hand."""

    message: Message
    ends_at: float
    """In seconds of ``time.monotonic()``."""
    thread: threading.Thread | None = None
    """The one that handles it, once that has begun."""
    begun_at: float = 0.0
    """In seconds since the epoch."""
    is_over: bool = False
    """Whether it was ended: the message was given back, and may be handled elsewhere."""


class Leases:
    """The messages that are in hand, each for no longer than ``max_lease_duration``.

    Google's client looks at how long it has had a message only when it extends all deadlines,
    seconds to minutes apart; then it lets the last extension run out, and never does so for a
    message that came after another with its ordering key. Here a lease ends when it is due: the
    message is given back, so that another thread or process gets it.

    A timer runs only while something is in hand, and sleeps until the oldest lease is due.

    Args:
        name: the subscription's, for the log.
        max_lease_duration: seconds.
    """

    def __init__(self, name: str, max_lease_duration: float) -> None:
        self._name = name
        self._seconds = max_lease_duration
        self._lock = threading.Lock()
        # A dict for its order: the oldest is the first.
        self._held: dict[Lease, None] = {}
        self._timer: threading.Timer | None = None

    def take(self, message: Message) -> Lease:
        """Begin a lease now."""
        lease = Lease(message, time.monotonic() + self._seconds)
        with self._lock:
            self._held[lease] = None
            if self._timer is None:
                self._sleep(0.0)
        return lease

    def begin(self, lease: Lease) -> bool:
        """Note that the calling thread begins to handle the message, unless its lease is over."""
        with self._lock:
            if lease.is_over:
                return False
            lease.thread = threading.current_thread()
            lease.begun_at = time.time()
            return True

    def let_go(self, lease: Lease) -> None:
        """Note that the message is handled, or given back by somebody else."""
        with self._lock:
            self._held.pop(lease, None)
        if lease.is_over and lease.thread is not None:
            logger.warning(
                "The handler of %s has returned from the message %s after all, %.0f s after it "
                "had begun: the message is handled again elsewhere.",
                self._name,
                lease.message.message_id,
                time.time() - lease.begun_at,
            )

    def close(self) -> None:
        """End no more leases."""
        with self._lock:
            self._held.clear()
            if self._timer is not None:
                self._timer.cancel()

    def _sleep(self, at_least: float) -> None:
        """Look again when the oldest lease is due; not at all while nothing is in hand."""
        oldest = next(iter(self._held), None)
        if oldest is None or oldest.ends_at == FOREVER:
            self._timer = None
            return
        seconds = max(oldest.ends_at + _GATHERING - time.monotonic(), at_least)
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._end_due)
        self._timer.name = f"rele-leases-{self._name}"
        self._timer.daemon = True
        self._timer.start()

    def _end_due(self) -> None:
        due, reports = self._take_due()
        try:
            self._log(reports, len(due) - len(reports))
            for lease in due:
                lease.message.nack()
        finally:
            with self._lock:
                self._sleep(_BETWEEN_LOOKS)

    def _take_due(self) -> tuple[list[Lease], list[str]]:
        """The leases that are over, and what is to be said of those whose handler has begun."""
        with self._lock:
            now = time.monotonic()
            due = list(takewhile(lambda lease: lease.ends_at <= now, self._held))
            for lease in due:
                lease.is_over = True
                del self._held[lease]
            # Before the lock is free, while each thread is where it is stuck.
            return due, [self._report(lease) for lease in due if lease.thread is not None]

    def _log(self, reports: list[str], not_begun: int) -> None:
        for report in reports:
            logger.error(report)
        if not_begun:
            logger.warning(
                "%d message(s) of %s waited for a thread for %g s (max_lease_duration): their "
                "leases end, and they will be delivered again. More threads or a smaller "
                "max_messages help.",
                not_begun,
                self._name,
                self._seconds,
            )

    def _report(self, lease: Lease) -> str:
        thread = lease.thread
        assert thread is not None
        begun_at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(lease.begun_at))
        frame = sys._current_frames().get(thread.ident or 0)
        return (
            f"The handler of {self._name} has had the message {lease.message.message_id} since "
            f"{begun_at} UTC and has not returned: its lease ends after {self._seconds:g} s "
            f"(max_lease_duration), and the message will be delivered again. The thread "
            f"{thread.name} is at:\n{_stack(frame)}"
        )


def _stack(frame: FrameType | None) -> str:
    return "".join(traceback.format_stack(frame)) if frame is not None else "(it has ended)"
