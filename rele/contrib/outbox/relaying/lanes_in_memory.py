"""The messages that a relay knows of, by topic and lane. No clock, no database."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from functools import cached_property

from rele.contrib.outbox.relaying.looking_back import Cursor
from rele.contrib.outbox.relaying.rows import Row

ALONE_AT_A_TIME = 50
"""How many requests of one message may be outstanding: Google's client has a thread for each."""


class Lane:
    """The messages of an ordering key, in order; or all of a topic that have none.

    A lane with a key has one flight at a time: some messages that were handed over together. So
    no message is handed over before the failure of an earlier one can be known.
    """

    def __init__(self, topic: Topic, number: int | None, shard: int = -1) -> None:
        self.topic = topic
        self.number = number
        self.shard = shard
        self.rows: deque[Row] = deque()
        """Those that may be handed over next."""
        self.flight: list[Row] = []
        self.pending = 0
        """How many of the flight have no outcome yet."""
        self.errors: dict[int, BaseException] = {}
        """Of the flight, by id."""
        self.locked = 0
        """How many outcomes are not written down since other transactions have locked the rows."""
        self.is_apart = False
        """Whether it is read by itself, not with all others."""
        self.blocked_until: float | None = None
        """When its first message, which is delayed, is due."""
        self.is_released = False
        """Whether its shard was lost during the flight."""

    @cached_property
    def cursor(self) -> Cursor:
        """How far it was read by itself. Most never are."""
        return Cursor()

    @property
    def is_ready(self) -> bool:
        """Whether it has something that may be handed over."""
        return bool(self.rows) and not (self.number is not None and (self.pending or self.locked))

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return not (self.rows or self.pending or self.locked or self.is_apart)

    def add(self, row: Row) -> None:
        """Put a row in its place."""
        if self.number is None or not self.rows or self.rows[-1].place < row.place:
            self.rows.append(row)
        else:
            rows = list(self.rows)
            insort(rows, row, key=lambda each: each.place)
            self.rows = deque(rows)


class Topic:
    """The messages of a topic, and how it fares."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.unordered = Lane(self, None)
        self.alone: deque[Row] = deque()
        """Those without a key that were refused before."""
        self.ready: dict[Lane, None] = {}
        """The lanes that may send, first the one that has waited longest."""
        self.queued = 0
        """How many rows wait in memory."""
        self.outstanding = 0
        self.outstanding_bytes = 0
        self.locked = 0
        """How many have an outcome that is not written down: other transactions lock the rows."""
        self.locked_bytes = 0
        self.quiet_since = 0.0
        """Since when nothing has been heard of the outstanding ones."""
        self.has_answered = False
        """Whether a message was accepted or refused, since it was unavailable."""
        self.is_apart = False
        """Whether it is read by itself, not with all others."""
        self.cursor = Cursor()
        """How far it was read by itself."""
        self.rests_until: float | None = None
        self.is_probed = False
        """Whether one message shall show if it is available again."""
        self.denied_since: float | None = None
        """Since when its next message has been too large for what is free."""

    @property
    def has_work(self) -> bool:
        return bool(self.ready or self.alone)

    def is_quiet(self, now: float, after: float) -> bool:
        """Whether its outstanding messages have had no outcome for long."""
        return bool(self.outstanding) and now - self.quiet_since >= after

    def is_resting(self, now: float) -> bool:
        return self.rests_until is not None and now < self.rests_until

    def note_sent(self, row: Row, now: float) -> None:
        if not self.outstanding:
            self.quiet_since = now
        self.outstanding += 1
        self.outstanding_bytes += row.size
        self.denied_since = None

    def note_outcome(self, row: Row, now: float) -> None:
        self.outstanding -= 1
        self.outstanding_bytes -= row.size
        self.quiet_since = now


class Memory:
    """All topics and lanes that the relay knows of."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.lanes: dict[int, Lane] = {}
        self.known: dict[int, Row] = {}
        """Every row that waits in memory, is outstanding or is not written down yet, by id."""
        self.queued = 0

    def topic(self, name: str) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name)
        return topic

    def lane_of(self, row: Row) -> Lane:
        """The lane of a row, made if need be."""
        if row.lane is None:
            return self.topic(row.topic).unordered
        return self.make_lane(row.lane, row.topic, row.shard)

    def make_lane(self, number: int, topic: str, shard: int) -> Lane:
        lane = self.lanes.get(number)
        if lane is None:
            lane = self.lanes[number] = Lane(self.topic(topic), number, shard)
        return lane

    def add(self, row: Row) -> None:
        """Let a row wait in memory."""
        lane = self.lane_of(row)
        self.known[row.id] = row
        self.queued += 1
        lane.topic.queued += 1
        if row.lane is None and row.attempts:
            lane.topic.alone.append(row)
            return
        lane.add(row)
        self.arrange(lane)

    def arrange(self, lane: Lane) -> None:
        """Put a lane among those that may send, or take it from there, or forget it."""
        if lane.is_ready:
            lane.topic.ready.setdefault(lane)
            return
        lane.topic.ready.pop(lane, None)
        if lane.number is not None and lane.is_idle and self.lanes.get(lane.number) is lane:
            del self.lanes[lane.number]

    def forget_rows(self, lane: Lane) -> None:
        """Forget what waits in a lane; it is to be read again."""
        for row in lane.rows:
            del self.known[row.id]
        self.queued -= len(lane.rows)
        lane.topic.queued -= len(lane.rows)
        lane.rows.clear()
        self.arrange(lane)

    def forget_alone(self, topic: Topic) -> None:
        for row in topic.alone:
            del self.known[row.id]
        self.queued -= len(topic.alone)
        topic.queued -= len(topic.alone)
        topic.alone.clear()

    def lanes_of(self, topic: Topic) -> Iterator[Lane]:
        """The lanes of a topic, that of the messages without a key among them."""
        yield topic.unordered
        yield from [lane for lane in self.lanes.values() if lane.topic is topic]
