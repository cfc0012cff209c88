"""A table, relays and Pub/Sub in virtual time, for the core of the relay."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.relaying.core import RelayCore
from rele.contrib.outbox.relaying.feeding import Limits
from rele.contrib.outbox.relaying.rows import DelayedLook, Look, Outcomes, Page, Row
from rele.contrib.outbox.relaying.times import RelayTimes

ALL = frozenset(range(SHARDS))


class UnavailableError(Exception):
    """Pub/Sub is unavailable."""


class WrongError(Exception):
    """Pub/Sub refuses the message."""


@dataclass
class Record:
    """A row of the table."""

    id: int
    topic: str
    lane: int | None
    size: int = 1_000
    attempts: int = 0
    state: str = "waiting"
    due: float = 0.0

    @property
    def shard(self) -> int:
        return (self.id if self.lane is None else self.lane) % SHARDS


class Table:
    """The committed rows."""

    def __init__(self) -> None:
        self.rows: dict[int, Record] = {}
        self._ids = 0
        self.read = 0
        """How many rows the looks have returned."""
        self.locked: set[int] = set()
        """The ids of the rows that other transactions have locked."""

    def new(self, topic: str, lane: int | None = None, size: int = 1_000) -> Record:
        """A row with an id, which is not committed yet."""
        self._ids += 1
        return Record(self._ids, topic, lane, size)

    def commit(self, *records: Record) -> None:
        for record in records:
            self.rows[record.id] = record

    def look(self, look: Look | DelayedLook, shards: Iterable[int], now: float) -> Page:
        """What SQL finds."""
        mine = set(shards)
        rows = [row for row in self.rows.values() if row.shard in mine]
        if isinstance(look, DelayedLook):
            rows = [
                row
                for row in rows
                if row.state == "delayed" and row.topic not in look.without_topics
            ]
            rows.sort(key=lambda row: (row.due, row.id))
        else:
            rows = sorted(self._waiting(look, rows), key=lambda row: row.id)
        found = rows[: look.limit]
        self.read += len(found)
        is_full = len(rows) >= look.limit
        last = found[-1].id if is_full else max(self.rows, default=0)
        return Page([_row(row, now) for row in found], last, is_full)

    def _waiting(self, look: Look, rows: list[Record]) -> Iterator[Record]:
        delayed = {row.lane for row in self.rows.values() if row.state == "delayed"} - {None}
        states = ("waiting", "delayed") if look.lane is not None else ("waiting",)
        for row in rows:
            if (
                row.id > look.after
                and row.state in states
                and look.lane in (None, row.lane)
                and look.topic in (None, row.topic)
                and row.topic not in look.without_topics
                and (row.lane is None or row.lane not in look.without_lanes)
                and not (look.without_delayed_lanes and row.lane in delayed)
            ):
                yield row

    def write(self, outcomes: Outcomes, now: float) -> set[int]:
        """Write what is not locked; return the ids of the others."""
        locked = {row.id for row in outcomes.rows()} & self.locked & self.rows.keys()
        for row in outcomes.accepted:
            if row.id not in locked:
                self.rows.pop(row.id, None)
        for refusal in outcomes.refusals:
            record = self.rows.get(refusal.row.id)
            if record is None or record.id in locked or record.attempts != refusal.row.attempts:
                continue
            if record.state not in ("waiting", "delayed"):
                continue
            record.attempts = refusal.attempts
            if refusal.is_parked:
                record.state = "parked"
            elif refusal.pause is not None:
                record.state, record.due = "delayed", now + refusal.pause
        return locked


def _row(record: Record, now: float) -> Row:
    due_in = record.due - now if record.state == "delayed" else None
    place = (float(record.id), 0)
    return Row(
        record.id,
        record.topic,
        record.lane,
        record.shard,
        record.attempts,
        record.size,
        place,
        due_in,
    )


@dataclass
class PubSub:
    """Accepts messages; keeps what it has accepted."""

    accepted: list[Row] = field(default_factory=list)
    unavailable: set[str] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    """The topics whose messages get no outcome."""

    def first_appearances(self) -> dict[int, list[int]]:
        """The ids of each lane in the order in which they were accepted first."""
        lanes: dict[int, list[int]] = defaultdict(list)
        seen = set()
        for row in self.accepted:
            if row.id not in seen and row.lane is not None:
                lanes[row.lane].append(row.id)
            seen.add(row.id)
        return lanes

    @property
    def counts(self) -> Counter[int]:
        return Counter(row.id for row in self.accepted)


class Runner:
    """Drives the core of one relay as the real driver does, one step at a time."""

    def __init__(
        self,
        table: Table,
        pubsub: PubSub,
        limits: Limits | None = None,
        max_attempts: int = 3,
        times: RelayTimes | None = None,
        shards: frozenset[int] = ALL,
    ) -> None:
        self.table = table
        self.pubsub = pubsub
        self.limits = limits or Limits(10, 100_000)
        self.times = times or RelayTimes()
        self.core = RelayCore(
            self.limits, max_attempts, lambda error: isinstance(error, UnavailableError), self.times
        )
        self.core.set_poll(0.1)
        self.shards = shards
        self.is_unwritable = False
        self.under_way: list[list[Row]] = []
        """The requests without an outcome."""
        self.looks: list[Look | DelayedLook] = []

    @property
    def outstanding(self) -> list[Row]:
        return [row for request in self.under_way for row in request]

    def step(self, now: float) -> None:
        """Write, read and send what is to be."""
        self.core.set_shards(self.shards, now)
        self.core.retry_locked(now)
        if self.core.unwritten:
            if self.is_unwritable:
                return
            self.core.note_written(now, self.table.write(self.core.unwritten, now))
        while (look := self.core.next_look(now)) is not None:
            self.looks.append(look)
            page = self.table.look(look, self.shards, now)
            self.core.note_page(look, page, now, 0.0)
            self.send(now)
        self.send(now)

    def send(self, now: float) -> None:
        requests = self.core.take(now)
        there = [row for row in requests.together if row.id in self.table.rows]
        gone = [
            row for row in (*requests.together, *requests.alone) if row.id not in self.table.rows
        ]
        if gone:
            self.core.note_gone(gone, now)
        if there:
            self.under_way.append(there)
        self.under_way += [[row] for row in requests.alone if row.id in self.table.rows]
        self._check()

    def answer(self, number: int, now: float) -> None:
        """Let Pub/Sub answer a request; topics and keys are judged by themselves."""
        request = self.under_way.pop(number)
        left = []
        failed_lanes = set()
        wrong_topics = {
            row.topic for row in request if row.id in self.pubsub.refused and row.lane is None
        }
        for row in request:
            if row.topic in self.pubsub.silent:
                left.append(row)
                continue
            error: Exception | None = None
            if row.topic in self.pubsub.unavailable:
                error = UnavailableError()
            elif row.lane is None and row.topic in wrong_topics:
                error = WrongError()
            elif row.lane is not None and (
                row.id in self.pubsub.refused or row.lane in failed_lanes
            ):
                failed_lanes.add(row.lane)
                error = WrongError()
            if error is None:
                self.pubsub.accepted.append(row)
            self.core.note_outcome(row.id, error, now)
        if left:
            self.under_way.append(left)

    def run(self, clock: Clock, seconds: float) -> None:
        """Let time pass; every request is answered at the next step."""
        end = clock.now + seconds
        while clock.now < end:
            self.step(clock.now)
            for _ in range(len(self.under_way)):
                self.answer(0, clock.now)
            clock.now += 0.05

    def _check(self) -> None:
        """What must hold at any time."""
        topics = Counter(row.topic for row in self.outstanding)
        assert all(count <= self.limits.messages for count in topics.values())
        sizes = sum(row.size for row in self.outstanding)
        largest = max((row.size for row in self.outstanding), default=0)
        assert sizes <= 1.5 * self.limits.bytes + 2 * largest
        lanes: dict[int, list[int]] = defaultdict(list)
        for row in self.outstanding:
            if row.lane is not None:
                lanes[row.lane].append(row.id)
        for request in self.under_way:
            for row in request:
                if row.lane is not None:
                    # One flight at a time: all outstanding ones of a lane are in one request.
                    flight = [r.id for r in request if r.lane == row.lane]
                    assert flight == lanes[row.lane]
        assert all(ids == sorted(ids) for ids in lanes.values())


@dataclass
class Clock:
    now: float = 100.0


class Chance(random.Random):
    """What happens, by seed."""
