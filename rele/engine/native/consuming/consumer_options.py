"""How a subscription is consumed."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_MESSAGES = 1000
MAX_BYTES = 100 * 2**20
ACK_DEADLINE = 60
MAX_LEASE_DURATION = 3600.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class ConsumerOptions:
    """How a subscription is consumed."""

    threads: int
    """How many messages, or batches, are handled at a time."""
    max_messages: int = MAX_MESSAGES
    """The most messages that may be outstanding."""
    follows_threads: bool = False
    """Whether that is more where so many threads need it, since no other number is stated."""
    max_bytes: int = MAX_BYTES
    """The most bytes that may be outstanding."""
    ack_deadline: int = ACK_DEADLINE
    """Seconds of the longest lease."""
    max_lease_duration: float = MAX_LEASE_DURATION
    """Seconds after which an outstanding message is nacked."""
    is_exactly_once: bool = False
    max_attempts: int | None = None
    """Of the dead-letter policy; ``None`` without one."""
    streams: int = 1
    """How many streams share the messages."""
    adapts: bool = True
    """Whether the limit begins small and follows the handlers; otherwise it is ``max_messages``."""
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE
    """Seconds before a stream that ended is opened again (full jitter)."""
    ping_phase: float = 0.0
    """At which seconds of each half minute keepalives are sent."""
    batch_size: int = 1
    """How many messages a handler takes at a time."""
    batch_wait: float | None = None
    """Seconds for which a message may wait for a batch; ``None`` if each is handled alone."""

    is_async: bool = False
    """Whether messages are handled by tasks in one event loop, instead of threads."""

    def with_threads(self, threads: int) -> ConsumerOptions:
        """The same for another number of threads."""
        needed = 2 * threads * self.batch_size if self.follows_threads else 0
        return replace(self, threads=threads, max_messages=max(self.max_messages, needed))

    @property
    def capacity(self) -> int:
        """How many messages can be handled at a time."""
        return self.threads * self.batch_size
