"""How many messages may be outstanding: few at first, more where that is too few.

A limit belongs to a stream, since Pub/Sub takes it in a stream's first request alone. What is
delivered and not yet acked counts, whether or not a handler has begun with it. So a large limit
lets one worker hoard messages that another could handle, and a worker that a message kills again
and again takes many others along. A small limit makes fast handlers wait.

No clock, no thread, no gRPC.
"""

from __future__ import annotations

from rele.engine.native.consuming.consumer_options import ConsumerOptions

WINDOW = 1.0
"""Seconds after which the limit may grow."""

BLOCKED_PART = 0.2
"""The part of a window during which the limit must have kept a handler from working."""

SHRINKS_AFTER = 60.0
"""Seconds without need after which the limit shrinks."""

MAX_DOUBLINGS = 8


class Flow:
    """Decides the limit of a subscription, for all its streams together.

    All times are seconds of one clock.

    Args:
        options: how the subscription is consumed.
    """

    def __init__(self, options: ConsumerOptions) -> None:
        self._set_bounds(options)
        self.limit = self._least
        self._window_began = self._shrinkable_since = float("-inf")
        self._seen_at = 0.0
        self._blocked = 0.0
        """Seconds of this window."""
        self.is_blocked = False
        """Whether a handler is idle now because the limit is reached."""
        self._peak = 0
        """The most messages that were outstanding since the limit could shrink."""
        self._least_waiting = self.most
        """The fewest messages that waited for a handler meanwhile."""

    def change(self, options: ConsumerOptions, now: float) -> None:
        """Follow ``options`` from now on."""
        self._set_bounds(options)
        self.limit = min(max(self.limit, self._least), self._greatest)
        self._shrinkable_since = now
        self.is_blocked = False
        self._reset_need()

    def observe(
        self, now: float, *, is_full: bool, is_short: bool, handed: int, outstanding: int
    ) -> bool:
        """Note how things are now; return whether streams of another limit are needed.

        Args:
            now: the time.
            is_full: whether a stream's limit is reached.
            is_short: whether a stream has a smaller limit than it ought to have.
            handed: how many messages were handed to handlers that have not returned.
            outstanding: how many messages are not settled.
        """
        if self.is_blocked:
            self._blocked += now - self._seen_at
        self._seen_at = now
        self.is_blocked = is_full and handed < self._capacity
        self._peak = max(self._peak, outstanding)
        self._least_waiting = min(self._least_waiting, outstanding - self._capacity)
        return self._grows(now, is_short) or self._shrinks(now)

    def next_due(self) -> float | None:
        """When to call :meth:`observe` although nothing happens."""
        return None if self.limit == self._least else self._shrinkable_since + SHRINKS_AFTER

    def grow(self, now: float) -> None:
        """Allow more messages from now on."""
        self._shrinkable_since = now
        self._reset_need()
        self.limit = min(2 * self.limit, self._greatest)

    def _set_bounds(self, options: ConsumerOptions) -> None:
        self.most = options.max_messages
        self._capacity = options.capacity
        start = min(max(2 * options.threads, options.batch_size), self.most)
        self._least = start if options.adapts else self.most
        self._greatest = min(self._least * 2**MAX_DOUBLINGS, self.most)

    def _grows(self, now: float, is_short: bool) -> bool:
        seconds = now - self._window_began
        if seconds < WINDOW:
            return False
        grows = self._blocked >= BLOCKED_PART * seconds
        self._window_began, self._blocked = now, 0.0
        if grows and not is_short:
            self.grow(now)
        return grows

    def _shrinks(self, now: float) -> bool:
        if self.limit == self._least or now - self._shrinkable_since < SHRINKS_AFTER:
            return False
        hoards = self._least_waiting > self.limit // 2
        is_unused = self._peak <= self.limit // 4
        self._shrinkable_since = now
        self._reset_need()
        if not (hoards or is_unused):
            return False
        self.limit = max(self.limit // 2, self._least)
        return True

    def _reset_need(self) -> None:
        self._peak, self._least_waiting = 0, self.most
