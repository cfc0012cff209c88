"""Which of the messages in memory are handed over next. No clock, no database.

Topics take turns, and so do the lanes of a topic. What is outstanding is bounded: in number for
each topic, in bytes for all. A topic that does not answer cannot take what others need.
"""

from __future__ import annotations

from dataclasses import dataclass

from rele.contrib.outbox.relaying.lanes_in_memory import ALONE_AT_A_TIME, Lane, Memory, Topic
from rele.contrib.outbox.relaying.rows import Requests, Row
from rele.contrib.outbox.relaying.times import RelayTimes

TURN = 200
"""How many messages a lane may send in its turn: in one request, if it has an ordering key."""


@dataclass(frozen=True)
class Limits:
    """How much may be outstanding."""

    messages: int
    """Of each topic."""
    bytes: int
    """Of all; a message that is larger is sent when nothing else is outstanding."""


class Feeder:
    """Decides what is handed over.

    Args:
        memory: what waits.
        limits: how much may be outstanding.
        times: the durations.
    """

    def __init__(self, memory: Memory, limits: Limits, times: RelayTimes) -> None:
        self._memory = memory
        self._limits = limits
        self._times = times
        self.outstanding: dict[int, Row] = {}
        self._alone = 0
        """How many of the outstanding ones have a request of their own."""
        self._quiet_bytes = 0
        self._other_bytes = 0
        self._locked_bytes = 0

    def take(self, now: float) -> Requests:
        """What to hand over now."""
        requests = Requests()
        topics = [topic for topic in self._memory.topics.values() if topic.has_work]
        if not topics:
            return requests
        self._count_bytes(now)
        starving = self._starving(topics, now)
        turn = [topic for topic in topics if starving in (None, topic)]
        while turn:
            turn = [topic for topic in turn if self._take_turn(topic, requests, now)]
        return requests

    def note_outcome(self, row: Row, now: float) -> Lane:
        """Note that an outstanding message has an outcome; return its lane."""
        del self.outstanding[row.id]
        self._alone -= bool(row.attempts)
        lane = self._memory.lane_of(row)
        lane.topic.note_outcome(row, now)
        return lane

    def _count_bytes(self, now: float) -> None:
        self._quiet_bytes = self._other_bytes = self._locked_bytes = 0
        for topic in self._memory.topics.values():
            self._locked_bytes += topic.locked_bytes
            if self._is_slow(topic, now):
                self._quiet_bytes += topic.outstanding_bytes
            else:
                self._other_bytes += topic.outstanding_bytes

    def _is_slow(self, topic: Topic, now: float) -> bool:
        return topic.is_probed or topic.is_quiet(now, self._times.quiet)

    def _starving(self, topics: list[Topic], now: float) -> Topic | None:
        """The topic whose large message has waited so long that others must let it have room."""
        waiting = [
            topic
            for topic in topics
            if topic.denied_since is not None
            and now - topic.denied_since >= self._times.starving
            and self._has_room(topic, now)
        ]
        return min(waiting, key=lambda topic: topic.denied_since or 0.0, default=None)

    def _has_room(self, topic: Topic, now: float) -> bool:
        """Whether it may send another message, whatever its size."""
        if topic.is_resting(now):
            return False
        if topic.is_probed:
            return not topic.outstanding
        if topic.locked and self._locked_bytes > self._limits.bytes // 2:
            return False
        return topic.outstanding + topic.locked < self._limits.messages and not topic.is_quiet(
            now, self._times.quiet
        )

    def _fits(self, topic: Topic, row: Row, now: float) -> bool:
        """Whether there are bytes for it; note since when there are not."""
        quiet, other, half = self._quiet_bytes, self._other_bytes, self._limits.bytes // 2
        if topic.is_probed:
            return not quiet or quiet + row.size <= half
        # Topics that do not answer leave half of the bytes to others, but all have a limit.
        fits = not other or min(quiet, half) + other + row.size <= self._limits.bytes
        if quiet + other + row.size > 3 * half:
            fits = fits and not other and quiet <= self._limits.bytes
        if fits and topic.outstanding:
            fits = self._has_share(topic, topic.outstanding_bytes + row.size, now)
        if not fits and topic.denied_since is None:
            topic.denied_since = now
        return fits

    def _has_share(self, topic: Topic, size: int, now: float) -> bool:
        """Whether so many bytes are no more than its part."""
        if not topic.has_answered:
            return size <= self._limits.bytes // 8
        return size <= self._limits.bytes // 2 or not self._others_wait(topic, now)

    def _others_wait(self, topic: Topic, now: float) -> bool:
        return any(
            other.has_work and not other.outstanding and self._has_room(other, now)
            for other in self._memory.topics.values()
            if other is not topic
        )

    def _take_turn(self, topic: Topic, requests: Requests, now: float) -> bool:
        """Take some of a topic; return whether it may have another turn."""
        if not self._has_room(topic, now):
            return False
        took_alone = self._take_alone(topic, requests, now)
        if not topic.ready:
            return took_alone
        lane = next(iter(topic.ready))
        del topic.ready[lane]
        took = self._take_of(lane, requests, now)
        self._memory.arrange(lane)
        return took or took_alone

    def _take_alone(self, topic: Topic, requests: Requests, now: float) -> bool:
        """Take one message that was refused before."""
        if not topic.alone or self._alone >= ALONE_AT_A_TIME:
            return False
        if not self._fits(topic, topic.alone[0], now):
            return False
        self._send(topic.alone.popleft(), topic.unordered, requests.alone, now)
        return True

    def _take_of(self, lane: Lane, requests: Requests, now: float) -> bool:
        """Take a flight of a lane, or some messages without a key."""
        topic, took = lane.topic, 0
        while lane.rows and took < TURN and self._has_room(topic, now):
            row = lane.rows[0]
            if row.attempts and (took or self._alone >= ALONE_AT_A_TIME):
                break
            if not self._fits(topic, row, now):
                break
            lane.rows.popleft()
            took += 1
            self._send(row, lane, requests.alone if row.attempts else requests.together, now)
            if row.attempts:
                break
        return took > 0

    def _send(self, row: Row, lane: Lane, requests: list[Row], now: float) -> None:
        requests.append(row)
        self._memory.queued -= 1
        lane.topic.queued -= 1
        self.outstanding[row.id] = row
        self._alone += bool(row.attempts)
        lane.topic.note_sent(row, now)
        size = row.size
        if lane.topic.is_probed:
            self._quiet_bytes += size
        else:
            self._other_bytes += size
        if lane.number is not None:
            lane.flight.append(row)
            lane.pending += 1
