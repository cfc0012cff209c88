"""When a subscription's streams are opened, replaced and closed. No clock, no thread, no gRPC."""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable
from dataclasses import dataclass, field

from rele.engine.native.consuming.consumer_options import FIRST_PAUSE, LONGEST_PAUSE
from rele.engine.native.consuming.delivery import Charge
from rele.engine.native.consuming.flow import Flow

HEALTHY_AFTER = 15.0
"""Seconds after which a stream that ends did not fail: the next pause is the first one again."""

ROOM_NEEDED = 0.25
"""The part of the limit that a stream has to have at its opening, at least."""

ACCEPTED_AFTER = 60.0
"""Seconds after which a stream that has not failed was accepted, also if it was silent: no attempt
to connect takes as long."""

PING_EVERY = 30.0
PONG_WITHIN = 15.0
"""Seconds between two keepalives on a stream, and until it must have answered one
(``StreamingPullRequest.protocol_version``: from 1 on, the server answers keepalives)."""

SILENT_FOR = 300.0
"""Seconds without any response after which a stream is replaced whose server answers no pings."""


STALLED_FOR = 10.0
"""Seconds of silence after which what is received may have been sent long before."""

CATCHES_UP_WITHIN = 5.0
"""Seconds after a silence in which all of that arrives."""


@dataclass(eq=False)
class Stream:
    """One stream, from its opening to its end."""

    slot: Slot
    limit: int
    """The most messages that may be outstanding on it."""
    opened_at: float
    heard_at: float
    """When something was received on it last."""
    next_ping_at: float
    pinged_at: float | None = None
    """When the keepalive was sent that has no answer yet."""
    has_answered: bool = False
    """Whether the server answers keepalives on it."""
    is_accepted: bool = False
    """Whether anything was received on it."""
    stalled_since: float | None = None
    """When its last long silence has begun."""
    stalled_until: float = 0.0
    """Until when what is received may have been sent since then."""
    charge: Charge = field(default_factory=Charge)
    """Which of its messages are outstanding."""

    @property
    def is_full(self) -> bool:
        """Whether its limit is reached."""
        return self.charge.leased >= self.limit

    @property
    def is_clogged(self) -> bool:
        """Whether its limit is reached because of messages that are only to be redelivered later.

        Pub/Sub counts them until then, though nobody works on them.
        """
        return self.is_full and 2 * self.charge.delayed >= self.limit

    def note_heard(self, now: float) -> None:
        """Note that something was received on it."""
        if now - self.heard_at > STALLED_FOR:
            if now > self.stalled_until:
                self.stalled_since = self.heard_at
            self.stalled_until = now + CATCHES_UP_WITHIN
        elif self.stalled_since is not None and now > self.stalled_until:
            self.stalled_since = None
        self.heard_at = now


@dataclass(eq=False)
class Slot:
    """The place of one stream, and of those that replace it one after the other."""

    stream: Stream | None = None
    open_at: float | None = None
    """When a stream is to be opened here; the one that is used until then is closed."""
    failures: int = 0
    """In a row."""
    failing_since: float = 0.0
    """When the first of these was."""

    def longest_pause(self, now: float, first: float, longest: float) -> float:
        """Note a failure; for how many seconds to wait at most, by the failures and their time.

        Random pauses may be so short that failures are many within seconds. An outage of seconds is
        not to cause a pause of half a minute.
        """
        if not self.failures:
            self.failing_since = now
        by_number = first * 2.0 ** min(self.failures, 16)
        by_time = max(first, 2.0 * (now - self.failing_since))
        self.failures += 1
        return min(by_number, by_time, longest)


@dataclass
class StreamActions:
    """What the driver has to do, in this order."""

    open: list[Stream] = field(default_factory=list)
    ping: list[Stream] = field(default_factory=list)
    close: list[Stream] = field(default_factory=list)


class PullStreams:
    """Decides about the streams of one subscription: one in each slot, but for replacements.

    A stream is replaced by opening the next one first, so that messages go on, where the limits of
    both together are allowed. Otherwise the next one is opened when the first has ended.

    All times are seconds of one clock. One thread at a time may use it.

    Args:
        flow: how many messages may be outstanding.
        number: of slots, which divide that among them.
        random: a number from 0 to 1.
        ping_phase: all keepalives are sent at times that are so many seconds above a multiple of
            :data:`PING_EVERY`: those of many subscriptions together, so that the process wakes once
            for all of them.
        pauses: the first and the longest one, in seconds, before a stream that ended is opened
            again. They are random (full jitter), so that a thousand workers do not open theirs in
            the same moment after a server was restarted.
    """

    def __init__(
        self,
        flow: Flow,
        number: int = 1,
        random: Callable[[], float] = random_numbers.random,
        pauses: tuple[float, float] = (FIRST_PAUSE, LONGEST_PAUSE),
        ping_phase: float = 0.0,
    ) -> None:
        self._ping_phase = ping_phase
        self._pauses = pauses
        self._flow = flow
        self._random = random
        self._slots = [Slot() for _ in range(number)]
        self._closing: list[Stream] = []
        self._ended: list[Stream] = []
        """Those with messages that are not settled."""
        self._is_draining = False
        self.refused_since: float | None = None
        """Since when none was accepted; ``None`` if the last one was."""

    def start(self, now: float, within: float = 0.0) -> None:
        """Open the first streams, at a random time ``within`` so many seconds."""
        self._is_draining = False
        self.refused_since = None
        for slot in self._slots:
            slot.failures = 0
            slot.open_at = now + within * self._random()

    def drain(self) -> None:
        """Open no more streams, and close those that are open, until :meth:`start` is called."""
        self._is_draining = True
        for slot in self._slots:
            slot.open_at = None

    @property
    def current(self) -> list[Stream]:
        """The streams that are used."""
        return [slot.stream for slot in self._slots if slot.stream is not None]

    @property
    def are_closed(self) -> bool:
        """Whether no stream is open, so that nothing more is received."""
        return not self._closing and not self.current

    @property
    def is_full(self) -> bool:
        """Whether the limit of a stream is reached."""
        return any(stream.is_full for stream in self.current)

    @property
    def is_clogged(self) -> bool:
        """Whether delayed messages keep a stream from delivering others."""
        return any(stream.is_clogged for stream in self.current)

    @property
    def is_short(self) -> bool:
        """Whether a stream has a smaller limit than it ought to have."""
        return any(stream.limit < self.share for stream in self.current)

    @property
    def share(self) -> int:
        """The limit that each stream ought to have."""
        return max(self._flow.limit // len(self._slots), 1)

    def resize(self, now: float) -> None:
        """Replace the streams that are clogged, or whose limit is not what it ought to be."""
        for slot in self._slots:
            stream = slot.stream
            if self._is_draining or stream is None or slot.open_at is not None:
                continue
            if stream.limit != self.share or stream.is_clogged:
                slot.open_at = now

    def note_received(self, stream: Stream, now: float, *, is_answer: bool) -> None:
        """Note that something was received on ``stream``.

        Args:
            stream: the stream.
            now: the time.
            is_answer: whether it can only be the answer to a keepalive: it has no messages.
        """
        stream.note_heard(now)
        stream.is_accepted = True
        self.refused_since = None
        if not is_answer:  # it has brought messages, so it has not failed, however soon it ends
            stream.slot.failures = 0
        if stream.pinged_at is not None:
            stream.pinged_at = None
            stream.has_answered = stream.has_answered or is_answer

    def note_blocked(self, seconds: float) -> None:
        """Do not count the last ``seconds`` as silence: this process did not run."""
        for stream in self.current:
            stream.heard_at += seconds
            if stream.pinged_at is not None:
                stream.pinged_at += seconds

    def note_ended(self, stream: Stream, now: float, *, is_cut_off: bool = False) -> float | None:
        """Note that ``stream`` has ended; return after how many seconds another one is opened.

        Args:
            stream: the stream.
            now: the time.
            is_cut_off: whether this process has ended it, to open another one at once.

        Returns:
            ``None`` if it was to end, or no other is opened.
        """
        if stream in self._closing:
            self._closing.remove(stream)
        if stream.charge.unsettled:
            self._ended.append(stream)
        slot = stream.slot
        if stream is not slot.stream:
            return None
        slot.stream = None
        if self._is_draining or slot.open_at is not None:
            return None
        if is_cut_off:
            slot.open_at = now
            return None
        if stream.is_accepted and now - stream.opened_at >= HEALTHY_AFTER:
            slot.failures = 0
        if self.refused_since is None or now - stream.opened_at >= ACCEPTED_AFTER:
            self.refused_since = now
        slot.open_at = now + slot.longest_pause(now, *self._pauses) * self._random()
        return slot.open_at - now

    def act(self, now: float) -> StreamActions:
        """Decide what to do now."""
        actions = StreamActions()
        if self._is_draining:
            actions.close = self.current
            for slot in self._slots:
                self._close(slot)
            return actions
        for slot in self._slots:
            self._act_in(slot, now, actions)
        return actions

    def next_due(self) -> float | None:
        """When to call :meth:`act` at the latest; ``None``: not before the next event."""
        times: list[float] = []
        for slot in self._slots:
            if slot.open_at is not None:
                if self._has_room(slot):
                    times.append(slot.open_at)
            elif slot.stream is not None:
                times += [slot.stream.next_ping_at, _silent_at(slot.stream)]
        return min(times, default=None)

    def _act_in(self, slot: Slot, now: float, actions: StreamActions) -> None:
        stream = slot.stream
        if stream is not None and slot.open_at is None:
            if now >= _silent_at(stream):
                slot.open_at = now
            elif now >= stream.next_ping_at:
                stream.next_ping_at = self._next_ping_after(now)
                if stream.pinged_at is None:
                    stream.pinged_at = now
                actions.ping.append(stream)
        if slot.open_at is None or slot.open_at > now:
            return
        if stream is not None and self._room() < self.share:
            actions.close.append(stream)
            self._close(slot)
        if self._has_room(slot):
            slot.open_at = None
            opened = self._opened(slot, now)
            if slot.stream is not None:
                actions.close.append(slot.stream)
                self._close(slot)
            slot.stream = opened
            actions.open.append(opened)

    def _opened(self, slot: Slot, now: float) -> Stream:
        limit = min(self.share, self._room())
        # Not at once: opening it may take a while.
        first_ping_at = self._next_ping_after(now + PING_EVERY / 2)
        return Stream(slot, limit, now, now, first_ping_at)

    def _next_ping_after(self, now: float) -> float:
        return now + PING_EVERY - (now - self._ping_phase) % PING_EVERY

    def _close(self, slot: Slot) -> None:
        if slot.stream is not None:
            self._closing.append(slot.stream)
            slot.stream = None

    def _has_room(self, slot: Slot) -> bool:
        """Whether a stream that is opened in ``slot`` now would have a limit worth while."""
        room = self._room()
        if any(stream.slot is slot for stream in self._closing):
            return room >= self.share
        return room >= max(int(self.share * ROOM_NEEDED), 1)

    def _room(self) -> int:
        """How many messages another stream may deliver now.

        Whatever is open may still deliver up to its limit.
        """
        self._ended = [stream for stream in self._ended if stream.charge.unsettled]
        is_open = sum(stream.limit for stream in (*self.current, *self._closing))
        return self._flow.most - is_open - sum(stream.charge.unsettled for stream in self._ended)


def _silent_at(stream: Stream) -> float:
    """When ``stream`` is to be replaced, unless something is received on it before."""
    if stream.pinged_at is not None and stream.has_answered:
        return stream.pinged_at + PONG_WITHIN
    return stream.heard_at + SILENT_FOR
