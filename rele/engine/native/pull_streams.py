"""When a subscription's streams are opened, replaced and closed. No clock, no thread, no gRPC."""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds: before a stream that ended is opened again (full jitter)."""

HEALTHY_AFTER = 15.0
"""Seconds after which a stream that was opened again counts as healthy."""

PING_EVERY = 30.0
PONG_WITHIN = 15.0
"""Seconds between two keepalives on a stream, and until it must have answered one
(``StreamingPullRequest.protocol_version``: from 1 on, the server answers keepalives)."""

SILENT_FOR = 300.0
"""Seconds without any response after which a stream is replaced whose server answers no pings."""


@dataclass(eq=False)
class Stream:
    """One stream, from its opening to its end."""

    limit: int
    """The most messages that may be outstanding on it."""
    opened_at: float
    heard_at: float
    """When something was received on it last."""
    pinged_at: float | None = None
    """When the keepalive was sent that has no answer yet."""
    has_answered: bool = False
    """Whether the server answers keepalives on it."""
    next_ping_at: float = 0.0
    is_accepted: bool = False
    """Whether anything was received on it."""


@dataclass
class StreamActions:
    """What the driver has to do, in this order."""

    open: list[Stream] = field(default_factory=list)
    ping: list[Stream] = field(default_factory=list)
    close: list[Stream] = field(default_factory=list)


class PullStreams:
    """Decides about the streams of one subscription: there is one, but for replacements.

    All times are seconds of one clock. One thread at a time may use it.

    Args:
        limit: the most messages that may be outstanding.
        random: a number from 0 to 1.
    """

    def __init__(self, limit: int, random: Callable[[], float] = random_numbers.random) -> None:
        self._limit = limit
        self._random = random
        self._open: list[Stream] = []
        self._open_at: float | None = None
        self._failures = 0
        self._is_draining = False

    def start(self, now: float) -> None:
        """Open the first stream as soon as possible."""
        self._open_at = now

    def drain(self) -> None:
        """Open no more streams, and close those that are open."""
        self._is_draining = True
        self._open_at = None

    @property
    def current(self) -> Stream | None:
        """The stream that is used, if there is one."""
        return self._open[-1] if self._open else None

    def note_received(self, stream: Stream, now: float, *, is_answer: bool) -> None:
        """Note that something was received on ``stream``.

        Args:
            stream: the stream.
            now: the time.
            is_answer: whether it can only be the answer to a keepalive: it has no messages.
        """
        stream.heard_at = now
        stream.is_accepted = True
        if stream.pinged_at is not None:
            stream.pinged_at = None
            stream.has_answered = stream.has_answered or is_answer

    def note_ended(self, stream: Stream, now: float) -> float | None:
        """Note that ``stream`` has ended; return after how many seconds another one is opened.

        The service ends streams now and then. Where one was healthy, the next is opened at once.

        Returns:
            ``None`` if it was not the one in use, or no other is opened.
        """
        was_current = stream is self.current
        if stream in self._open:
            self._open.remove(stream)
        if self._is_draining or not was_current or self._open_at is not None:
            return None
        if stream.is_accepted and now - stream.opened_at >= HEALTHY_AFTER:
            self._failures = 0
            self._open_at = now
        else:
            longest = min(FIRST_PAUSE * 2.0 ** min(self._failures, 16), LONGEST_PAUSE)
            self._failures += 1
            self._open_at = now + longest * self._random()
        return self._open_at - now

    def act(self, now: float) -> StreamActions:
        """Decide what to do now."""
        actions = StreamActions()
        if self._is_draining:
            actions.close, self._open = self._open, []
            return actions
        stream = self.current
        if stream is not None and self._is_silent(stream, now):
            # The new one first, so that messages go on.
            self._open_at = now
        if self._open_at is not None and self._open_at <= now:
            self._open_at = None
            opened = Stream(self._limit, now, now, next_ping_at=now + PING_EVERY)
            actions.open.append(opened)
            actions.close, self._open = self._open, [opened]
        elif stream is not None and now >= stream.next_ping_at:
            stream.next_ping_at = now + PING_EVERY
            if stream.pinged_at is None:
                stream.pinged_at = now
            actions.ping.append(stream)
        return actions

    def next_due(self) -> float | None:
        """When to call :meth:`act` at the latest; ``None``: not before the next event."""
        if self._is_draining:
            return None
        times = [] if self._open_at is None else [self._open_at]
        if (stream := self.current) is not None:
            times += [stream.next_ping_at, self._silent_at(stream)]
        return min(times, default=None)

    def _is_silent(self, stream: Stream, now: float) -> bool:
        return now >= self._silent_at(stream)

    def _silent_at(self, stream: Stream) -> float:
        """When ``stream`` is to be replaced, unless something is received on it before."""
        if stream.pinged_at is not None and stream.has_answered:
            return stream.pinged_at + PONG_WITHIN
        return stream.heard_at + SILENT_FOR
