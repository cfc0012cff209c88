"""Decides what a relay reads next, and where what it has read belongs. No clock, no database.

Most rows are found by one look at all that wait. What would make it slow is left out of it and read
apart: a lane whose first message is delayed, a topic that is unavailable, and a lane or a topic of
which more waits than memory is kept for. Each has a cursor of its own, so that what is committed
late is found meanwhile, too. Once it was read to its end, it belongs to the others again.
"""

from __future__ import annotations

from collections.abc import Collection

from rele.contrib.outbox.relaying.feeding import Limits
from rele.contrib.outbox.relaying.lanes_in_memory import Lane, Memory, Topic
from rele.contrib.outbox.relaying.looking_back import Cursor
from rele.contrib.outbox.relaying.rows import DelayedLook, Look, Page, Row
from rele.contrib.outbox.relaying.times import RelayTimes

AHEAD = 30
"""How many times the number of messages that may be outstanding is read ahead: so many that most
requests are large, though each has messages of one ordering key only."""

PAGE = 5
"""How many times that number one look finds."""

NAMED = 1_000
"""How many lanes with a delayed message are named in a query, at the most."""


class Looks:
    """Decides about all reading of one relay.

    Args:
        memory: where what was read waits.
        limits: how much may be outstanding.
        times: the durations.
    """

    def __init__(self, memory: Memory, limits: Limits, times: RelayTimes) -> None:
        self._memory = memory
        self._times = times
        self._most_of_lane = max(limits.messages, 1)
        self._most = AHEAD * self._most_of_lane
        self._page = PAGE * self._most_of_lane
        self._most_of_topic = self._most // 2
        self._cursor = Cursor()
        self._apart: dict[int, Lane] = {}
        """The lanes that are read apart."""
        self._topics_apart: dict[str, Topic] = {}
        self._has_seen_all = False
        self._delayed_at = float("-inf")
        """When to look at the delayed messages."""
        self._are_delayed_many = False
        self._look_at = float("-inf")
        self._was_apart = False
        self.poll = 1.0
        """Seconds between two looks while nothing is found."""

    def restart(self, now: float) -> None:
        """Read everything again: there are shards of which nothing is known."""
        self._cursor.restart()
        self._has_seen_all = False
        self._delayed_at = self._look_at = now
        for topic in self._topics_apart.values():
            topic.cursor.restart()

    def hurry(self, now: float) -> None:
        """Look at all that wait now."""
        self._look_at = min(self._look_at, now)

    def expect_more(self, now: float) -> None:
        """Not everything that waits was seen."""
        self._has_seen_all = False
        self.hurry(now)

    def look_back(self, now: float) -> None:
        """Look at all that wait from the beginning, as soon as that is no waste."""
        self._cursor.look_all()
        self.hurry(now)

    def delayed_until(self, at: float) -> None:
        """Look at the delayed messages at that time at the latest."""
        self._delayed_at = min(self._delayed_at, at)

    def next(self, now: float) -> Look | DelayedLook | None:
        """What to read now."""
        if self._delayed_at <= now:
            return DelayedLook(NAMED, self._silent_topics())
        is_due = self._look_at <= now and self._has_room
        look = None if is_due and self._was_apart else self._next_apart(now)
        self._was_apart = look is not None
        return self._look_at_all(now) if look is None and is_due else look

    @property
    def has_topics_apart(self) -> bool:
        """Whether the messages of some topics are read by themselves."""
        return bool(self._topics_apart)

    def next_due(self, now: float) -> float:
        """When there may be something to read."""
        times = [topic.rests_until for topic in self._topics_apart.values()]
        times += [lane.blocked_until for lane in self._apart.values()]
        coming = [at for at in times if at is not None and at > now]
        if self._has_room:
            coming.append(self._look_at)
        return min(self._delayed_at, *coming) if coming else self._delayed_at

    def have_seen_all(self, now: float) -> bool:
        """Whether everything that may be sent now was read."""
        return (
            self._has_seen_all
            and self._delayed_at > now
            and not any(self._is_hungry(lane, now) for lane in self._apart.values())
            and not any(self._wants(topic, now) for topic in self._topics_apart.values())
        )

    def note(self, look: Look | DelayedLook, page: Page, now: float, took: float) -> None:
        """Take what a look has found."""
        if isinstance(look, DelayedLook):
            self._note_delayed(look, page, now)
        elif look.lane is not None:
            self._note_lane(self._apart[look.lane], page, now, took)
        elif look.topic is not None:
            self._note_topic(self._topics_apart[look.topic], page, now, took)
        else:
            self._cursor.note(page, now, took)
            for row in page.in_place():
                self._accept(row, page, now, of_topic=False)
            self._look_at = now if page.is_full else now + took + self.poll
            self._has_seen_all = not page.is_full

    def read_apart(self, lane: Lane, until: float | None) -> None:
        """Forget what waits in a lane, and read it from its beginning.

        Args:
            lane: with an ordering key.
            until: when its first message is due; ``None``: at once.
        """
        assert lane.number is not None
        lane.is_apart = True
        lane.cursor.restart()
        lane.blocked_until = until
        self._apart[lane.number] = lane
        self._memory.forget_rows(lane)

    def rest(self, topic: Topic, now: float) -> None:
        """Leave a topic alone for a while: it is unavailable."""
        topic.rests_until = now + self._times.rest
        topic.is_probed = True
        topic.has_answered = False
        topic.is_apart = True
        topic.cursor.restart()
        self._topics_apart[topic.name] = topic
        self._memory.forget_alone(topic)
        for lane in self._memory.lanes_of(topic):
            if lane.is_apart and lane.number is not None:
                self.read_apart(lane, lane.blocked_until)
            else:
                self._memory.forget_rows(lane)

    def recover(self, topic: Topic, now: float) -> None:
        """A topic that was unavailable has answered."""
        topic.rests_until = None
        topic.is_probed = False
        self._delayed_at = now

    def forget(self, lane: Lane) -> None:
        """Forget a lane, whose shard belongs to another relay."""
        assert lane.number is not None
        self._apart.pop(lane.number, None)
        lane.is_apart = False
        lane.blocked_until = None
        lane.is_released = lane.pending > 0
        self._memory.forget_rows(lane)

    @property
    def _has_room(self) -> bool:
        """Whether there is memory for what a look at all finds.

        What waits of a topic that is read apart does not count, or it would keep others out.
        """
        return self._queued <= self._most - self._page

    @property
    def _queued(self) -> int:
        return self._memory.queued - sum(t.queued for t in self._topics_apart.values())

    def _look_at_all(self, now: float) -> Look:
        after = self._cursor.begin(now)
        # What is known already is found once more by a look back.
        known = len(self._memory.known) if after < self._cursor.read_to else 0
        return Look(
            self._page + known,
            after=after,
            without_topics=tuple(self._topics_apart),
            without_lanes=self._lanes_left_out(self._are_delayed_many),
            without_delayed_lanes=self._are_delayed_many,
        )

    def _look_at_topic(self, topic: Topic, now: float) -> Look:
        # The delayed messages of one that is probed are not looked at.
        many = self._are_delayed_many or topic.is_probed
        after = topic.cursor.begin(now)
        # What is known already is found once more, what waits in memory only by a look back.
        limit = 1 if topic.is_probed else self._page
        if after < topic.cursor.read_to:
            limit += topic.queued
        return Look(
            limit + topic.outstanding + topic.locked,
            after=after,
            topic=topic.name,
            without_lanes=self._lanes_left_out(many),
            without_delayed_lanes=many,
        )

    def _look_at_lane(self, lane: Lane, now: float) -> Look:
        after = lane.cursor.begin(now)
        # What is known already is found once more by a look back.
        known = len(lane.rows) if after < lane.cursor.read_to else 0
        return Look(self._most_of_lane + known, after=after, lane=lane.number)

    def _silent_topics(self) -> tuple[str, ...]:
        """Those whose delayed messages would only take the place of others."""
        return tuple(topic.name for topic in self._topics_apart.values() if topic.is_probed)

    def _lanes_left_out(self, many: bool) -> Collection[int]:
        if many:
            return [number for number, lane in self._apart.items() if lane.blocked_until is None]
        return list(self._apart)

    def _next_apart(self, now: float) -> Look | None:
        for lane in self._apart.values():
            if self._is_hungry(lane, now):
                return self._look_at_lane(lane, now)
        for topic in self._topics_apart.values():
            if self._wants(topic, now):
                return self._look_at_topic(topic, now)
        return None

    def _is_hungry(self, lane: Lane, now: float) -> bool:
        """Whether a lane that is read apart is to be read now."""
        topic = lane.topic
        if topic.is_resting(now) or (topic.is_probed and (topic.queued or topic.outstanding)):
            return False
        if lane.blocked_until is not None and now < lane.blocked_until:
            return False
        return (
            not (lane.pending or lane.locked)
            and len(lane.rows) <= self._most_of_lane // 2
            and topic.queued < self._most_of_topic
        )

    def _wants(self, topic: Topic, now: float) -> bool:
        """Whether a topic that is read apart is to be read now."""
        if topic.is_resting(now):
            return False
        if topic.is_probed:
            return not topic.queued and not topic.outstanding
        return topic.queued <= self._most_of_topic - self._page

    def _note_topic(self, topic: Topic, page: Page, now: float, took: float) -> None:
        topic.cursor.note(page, now, took)
        for row in page.in_place():
            self._accept(row, page, now, of_topic=True)
        if page.is_full:
            return
        topic.is_apart = False
        topic.rests_until = None
        del self._topics_apart[topic.name]
        if topic.is_probed:
            self._delayed_at = now  # its delayed messages count again

    def _note_lane(self, lane: Lane, page: Page, now: float, took: float) -> None:
        lane.blocked_until = None
        lane.cursor.note(page, now, took)
        for row in page.in_place():
            if page.is_early(row):
                continue  # it is overlooked, and found again by the next look
            if row.due_in is not None and row.due_in > 0:
                self._block(lane, now + row.due_in)
                return
            self._memory.add(row)
        if page.is_full:
            return
        lane.is_apart = False
        del self._apart[lane.number or 0]
        self._memory.arrange(lane)

    def _block(self, lane: Lane, until: float) -> None:
        """Send what is before a delayed message, and read it again when that is due."""
        lane.blocked_until = until
        lane.cursor.restart()
        self.delayed_until(until)

    def _note_delayed(self, look: DelayedLook, page: Page, now: float) -> None:
        self._are_delayed_many = page.is_full
        self._delayed_at = now + self._times.delayed_every
        seen = set()
        for row in page.rows:
            due_in = row.due_in or 0.0
            if due_in > 0:
                self.delayed_until(now + due_in)
            if row.lane is not None:
                seen.add(row.lane)
                self._note_delayed_lane(row, now + due_in)
            elif due_in <= 0 and self._memory.topic(row.topic).queued < self._most_of_topic:
                self._memory.add(row)
        if page.is_full:
            return
        for number, lane in self._apart.items():
            # Somebody has let it be tried again at once, or has discarded it.
            if number not in seen and lane.topic.name not in look.without_topics:
                lane.blocked_until = None

    def _note_delayed_lane(self, row: Row, due_at: float) -> None:
        assert row.lane is not None
        lane = self._memory.make_lane(row.lane, row.topic, row.shard)
        if not lane.is_apart and not lane.pending:
            self.read_apart(lane, due_at)
        elif lane.blocked_until is not None:
            lane.blocked_until = due_at

    def _accept(self, row: Row, page: Page, now: float, *, of_topic: bool) -> None:
        """Keep a row in memory, or read its lane or topic apart, of which there are too many."""
        if row.id in self._memory.known:
            return
        topic = self._memory.topic(row.topic)
        if topic.is_apart and not of_topic:
            return
        if row.lane is not None:
            lane = self._memory.make_lane(row.lane, row.topic, row.shard)
            if lane.is_apart:
                if self._are_delayed_many and lane.blocked_until is not None:
                    # The look has left all lanes out that are delayed.
                    lane.blocked_until = None
                return
            if page.is_early(row):
                self.read_apart(lane, None)
                return
            if len(lane.rows) >= self._most_of_lane:
                lane.is_apart = True
                lane.cursor.start(row.id - 1, now)
                self._apart[row.lane] = lane
                return
        if topic.queued >= self._most_of_topic and not of_topic:
            topic.is_apart = True
            topic.cursor.start(row.id - 1, now)
            self._topics_apart[topic.name] = topic
            return
        self._memory.add(row)
