"""The outstanding messages, and which of them are outstanding too long. No clock, no thread."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import takewhile

from rele.engine.base import Message

FOREVER = float("inf")
"""A duration: the lease does not end by itself."""

_BETWEEN_CHECKS = 1.0
"""The least interval in seconds, so that a slow worker does not log a line for each message."""

_GATHERING = 0.1
"""Seconds that are added to a lease, so that messages that arrived together end together."""


@dataclass(eq=False, slots=True)
class Lease:
    """An outstanding message."""

    message: Message
    ends_at: float
    thread_id: int | None = None
    """The id of the thread that handles the message, once it has begun."""
    begun_at: float = 0.0
    is_over: bool = False
    """Whether the lease was ended: the message was nacked, and may be handled elsewhere."""


class Leases:
    """The outstanding messages of a stream, each for no longer than ``seconds``.

    Google's client looks at how long it has had a message only when it extends all deadlines,
    seconds to minutes apart; then it lets the last extension run out, and never does so for a
    message that came after another with its ordering key. Here a lease ends when it is due: the
    message is to be nacked, so that another thread or process gets it.

    All times are of one clock, in seconds. Whoever uses it from several threads holds a lock.
    """

    def __init__(self, seconds: float = FOREVER) -> None:
        self.seconds = seconds
        # A dict keeps the order: all leases last equally long, so the oldest ends first.
        self._outstanding: dict[Lease, None] = {}

    @property
    def outstanding(self) -> Collection[Lease]:
        """Those that have begun and not ended."""
        return self._outstanding.keys()

    def take(self, message: Message, now: float) -> Lease:
        """Begin a lease."""
        lease = Lease(message, now + self.seconds)
        self._outstanding[lease] = None
        return lease

    def begin(self, lease: Lease, thread_id: int, now: float) -> bool:
        """Note that a thread begins to handle the message, unless its lease is over."""
        if lease.is_over:
            return False
        lease.thread_id = thread_id
        lease.begun_at = now
        return True

    def let_go(self, lease: Lease) -> None:
        """Note that the message was handled, or nacked by another caller."""
        self._outstanding.pop(lease, None)

    def end_due(self, now: float) -> list[Lease]:
        """End the leases that are due; their messages are to be nacked."""
        due = list(takewhile(lambda lease: lease.ends_at <= now, self._outstanding))
        for lease in due:
            lease.is_over = True
            del self._outstanding[lease]
        return due

    def first_check(self, lease: Lease) -> float:
        """When to call :meth:`end_due` for the first time; ``lease`` is the oldest lease."""
        return lease.ends_at + _GATHERING

    def next_check(self, now: float) -> float | None:
        """When to call :meth:`end_due` again; ``None`` while nothing is outstanding."""
        oldest = next(iter(self._outstanding), None)
        if oldest is None:
            return None
        return max(oldest.ends_at + _GATHERING, now + _BETWEEN_CHECKS)

    def clear(self) -> None:
        """Forget all leases without ending them."""
        self._outstanding.clear()


def describe_stuck(
    lease: Lease, *, subscription: str, seconds: float, begun_at: float, where: str
) -> str:
    """The log line about a handler that is still running when its message's lease ends.

    Args:
        lease: the lease that has ended.
        subscription: the subscription's name.
        seconds: how long a lease lasts.
        begun_at: when the handler has begun, in seconds since the epoch.
        where: the handler's thread and its stack.
    """
    begun = datetime.fromtimestamp(begun_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"The handler of {subscription} has had the message {lease.message.message_id} since "
        f"{begun} UTC and has not returned: its lease ends after {seconds:g} s "
        f"(max_lease_duration), and the message will be delivered again. {where}"
    )
