"""Outcomes whose rows other transactions have locked. No clock, no database.

Only these rows wait, and the later messages of their ordering keys. They are neither read nor sent
again, and are written down when the other transactions have ended. How many there are is bounded:
they count as outstanding.
"""

from __future__ import annotations

from collections.abc import Collection

from rele.contrib.outbox.relaying.lanes_in_memory import Memory
from rele.contrib.outbox.relaying.looks import Looks
from rele.contrib.outbox.relaying.rows import Outcomes, Row
from rele.contrib.outbox.relaying.times import RelayTimes

_NEVER = float("inf")


class LockedRows:
    """Remembers them for one relay.

    Args:
        memory: what the relay knows of.
        looks: decides what it reads.
        times: the durations.
    """

    def __init__(self, memory: Memory, looks: Looks, times: RelayTimes) -> None:
        self._memory = memory
        self._looks = looks
        self._times = times
        self.waiting = Outcomes()
        """What is to be written again later."""
        self._pause = 0.0
        self.rows: dict[int, Row] = {}
        """By id, with those that are just being written again."""
        self.since: float | None = None
        """Since when there have been some."""
        self.retries_at = _NEVER
        """When to write them again."""

    def take_due(self, now: float) -> Outcomes:
        """What is to be written again now."""
        if now < self.retries_at:
            return Outcomes()
        due, self.waiting = self.waiting, Outcomes()
        self.retries_at = _NEVER
        return due

    def hold(self, outcomes: Outcomes, shards: Collection[int], now: float) -> None:
        """Note what could not be written, and that the relay has ``shards``."""
        if not outcomes:
            return
        if self.since is None:
            self.since = now
        for row in outcomes.rows():
            if row.id not in self.rows:
                self._hold_back(row, shards)
        self.waiting.extend(outcomes)
        self._pause = min(max(2 * self._pause, self._times.locked), self._times.longest_locked)
        self.retries_at = now + self._pause

    def release(self, row: Row) -> None:
        """Note that the outcome of ``row`` is written down, or does not count any more."""
        if self.rows.pop(row.id, None) is None:
            return
        lane = self._memory.lane_of(row)
        lane.locked -= 1
        lane.topic.locked_bytes -= row.size
        lane.topic.locked -= 1
        self._memory.arrange(lane)
        if not self.rows:
            self.since, self._pause = None, 0.0

    def _hold_back(self, row: Row, shards: Collection[int]) -> None:
        self.rows[row.id] = row
        lane = self._memory.lane_of(row)
        lane.locked += 1
        lane.topic.locked += 1
        lane.topic.locked_bytes += row.size
        if lane.number is not None and row.shard in shards:
            # What waits behind it shall take no memory.
            self._looks.read_apart(lane, lane.blocked_until)
