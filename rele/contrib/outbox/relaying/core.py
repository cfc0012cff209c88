"""Decides what a relay reads, hands over and writes down, and when. No clock, thread, database.

Events go in by the methods ``note_…``, ``set_shards`` and ``hurry``. All times are seconds of one
clock. Why the order of a lane is kept: it has one flight at a time, and after a failure all that is
known of it is forgotten and read again, from its oldest row on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from rele.contrib.outbox.relaying.feeding import Feeder, Limits
from rele.contrib.outbox.relaying.lanes_in_memory import Lane, Memory, Topic
from rele.contrib.outbox.relaying.locked_rows import LockedRows
from rele.contrib.outbox.relaying.looks import Looks
from rele.contrib.outbox.relaying.rows import (
    DelayedLook,
    Look,
    Outcomes,
    Page,
    Refusal,
    Requests,
    Row,
)
from rele.contrib.outbox.relaying.times import RelayTimes
from rele.messages.explaining import in_one_line

IsPassing = Callable[[BaseException], bool]


class RelayCore:
    """Decides about all messages of one relay.

    Args:
        limits: how much may be outstanding.
        max_attempts: how often a message may be refused before it is parked.
        is_passing: whether an error is transient, and refuses nothing.
        times: the durations.
    """

    def __init__(
        self,
        limits: Limits,
        max_attempts: int,
        is_passing: IsPassing,
        times: RelayTimes | None = None,
    ) -> None:
        self._max_attempts = max_attempts
        self._is_passing = is_passing
        self._times = times or RelayTimes()
        self._memory = Memory()
        self._feeder = Feeder(self._memory, limits, self._times)
        self._looks = Looks(self._memory, limits, self._times)
        self._unwritten = Outcomes()
        self._locked = LockedRows(self._memory, self._looks, self._times)
        self._passing_error: BaseException | None = None
        """By which the last request has failed, if no message was accepted since."""
        self.shards: frozenset[int] = frozenset()

    @property
    def known(self) -> Collection[int]:
        """The ids of all rows that need not be read again."""
        return self._memory.known

    @property
    def outstanding(self) -> int:
        """How many messages have no outcome yet."""
        return len(self._feeder.outstanding)

    @property
    def unwritten(self) -> Outcomes:
        """What is to be written down before anything else is read or sent."""
        return self._unwritten

    @property
    def locked(self) -> int:
        """How many outcomes wait until other transactions no longer lock their rows."""
        return len(self._locked.rows)

    @property
    def outage(self) -> str | None:
        """Why Pub/Sub has accepted nothing lately of what is to be sent; ``None``: it accepts."""
        if self._passing_error is None or not self._looks.has_topics_apart:
            return None
        return (
            "Pub/Sub does not accept the messages of the outbox, which are tried again: "
            f"{in_one_line(self._passing_error)}"
        )

    def locked_for(self, now: float) -> float:
        """For how many seconds there have been such outcomes."""
        return 0.0 if self._locked.since is None else now - self._locked.since

    def busy_shards(self) -> frozenset[int]:
        """The shards of which something is outstanding or not written down."""
        rows = [*self._feeder.outstanding.values(), *self._locked.rows.values()]
        return frozenset(row.shard for row in (*rows, *self._unwritten.rows()))

    def set_shards(self, shards: frozenset[int], now: float) -> None:
        """Note which shards the relay may send from now on."""
        if shards == self.shards:
            return
        lost, gained = self.shards - shards, shards - self.shards
        self.shards = shards
        if lost:
            self._forget_shards(lost)
        if gained:
            for lane in self._memory.lanes.values():
                lane.is_released = lane.is_released and lane.shard not in gained
            self._looks.restart(now)

    def hurry(self, now: float) -> None:
        """Look at once: something was committed."""
        self._looks.hurry(now)

    def expect_more(self, now: float) -> None:
        """Look once more before everything is finished."""
        self._looks.expect_more(now)

    def look_back(self, now: float) -> None:
        """Look soon for rows with small ids: they were scheduled, and are due."""
        self._looks.look_back(now)

    def set_poll(self, seconds: float) -> None:
        """Look so often while nothing is found."""
        self._looks.poll = seconds

    def next_look(self, now: float) -> Look | DelayedLook | None:
        """What to read now; ``None``: nothing."""
        if self._unwritten or not self.shards:
            return None
        return self._looks.next(now)

    def note_page(self, look: Look | DelayedLook, page: Page, now: float, took: float) -> None:
        """Note what a look has found that began at ``now`` and took so many seconds."""
        rows = [row for row in page.rows if row.id not in self.known and row.shard in self.shards]
        page = Page(rows, page.last, page.is_full)
        self._looks.note(look, page, now, took)

    def take(self, now: float) -> Requests:
        """What to hand over now."""
        return Requests() if self._unwritten else self._feeder.take(now)

    def note_gone(self, rows: Iterable[Row], now: float) -> None:
        """Note that rows to be handed over are there no more: somebody has discarded them."""
        self._drop(rows, now)

    def note_unsent(self, rows: Iterable[Row], now: float) -> None:
        """Note that rows could not be loaded, or may not be sent; they are read again."""
        self._drop(rows, now)
        self._looks.restart(now)

    def note_outcome(self, id_: int, error: BaseException | None, now: float) -> None:
        """Note the outcome of an outstanding message."""
        row = self._feeder.outstanding[id_]
        lane = self._feeder.note_outcome(row, now)
        if error is None:
            self._passing_error = None
            self._unwritten.accepted.append(row)
            self._recover(lane.topic, now)
        if lane.number is None:
            if error is not None:
                self._fail(row, lane, error, now)
            return
        lane.pending -= 1
        if error is not None:
            lane.errors[id_] = error
        if not lane.pending:
            self._end_flight(lane, now)

    def retry_locked(self, now: float) -> None:
        """Let ``unwritten`` have what other transactions had locked, if it is to be tried again."""
        self._unwritten.extend(self._locked.take_due(now))

    def note_written(self, now: float, locked: Collection[int] = ()) -> Outcomes:
        """Note that all of ``unwritten`` is written down but the ``locked`` ids; return it.

        Others are read and sent while those wait.
        """
        written, left = self._unwritten.split(locked)
        self._unwritten = Outcomes()
        for row in written.rows():
            self._memory.known.pop(row.id, None)
            self._locked.release(row)
        self._locked.hold(left, self.shards, now)
        return written

    def quiet_for(self, now: float) -> float:
        """For how many seconds a topic has had no outcome, at the most."""
        topics = self._memory.topics.values()
        return max((now - each.quiet_since for each in topics if each.outstanding), default=0.0)

    def next_due(self, now: float) -> float:
        """When to ask again at the latest."""
        return min(self._looks.next_due(now), self._locked.retries_at)

    def is_finished(self, now: float) -> bool:
        """Whether all that is due now was tried: nothing is outstanding, and nothing to be read."""
        if self.outstanding or self._unwritten or self.locked:
            return False
        return not self.shards or (not self._memory.queued and self._looks.have_seen_all(now))

    def _end_flight(self, lane: Lane, now: float) -> None:
        """All of the flight have an outcome; judge by the first that has failed."""
        flight, errors = lane.flight, lane.errors
        lane.flight, lane.errors = [], {}
        failed = [row for row in flight if row.id in errors]
        for row in failed:
            # They are read again, the first one once its failure is written down.
            self._memory.known.pop(row.id, None)
        if failed:
            self._fail(failed[0], lane, errors[failed[0].id], now)
        self._memory.arrange(lane)

    def _fail(self, row: Row, lane: Lane, error: BaseException, now: float) -> None:
        self._memory.known.pop(row.id, None)
        if row.shard not in self.shards or lane.is_released:
            return  # whoever has the shard now decides
        if self._is_passing(error):
            self._passing_error = error
            if not lane.topic.is_resting(now):
                self._refuse(Refusal(row, row.attempts, error))
            self._looks.rest(lane.topic, now)
            return
        self._recover(lane.topic, now)
        attempts = row.attempts + 1
        if attempts >= self._max_attempts:
            self._refuse(Refusal(row, attempts, error, is_parked=True))
            until = None
        else:
            pause = self._times.pause_after(attempts)
            self._refuse(Refusal(row, attempts, error, pause))
            self._looks.delayed_until(now + pause)
            until = now + pause
        if lane.number is not None:
            self._looks.read_apart(lane, until)

    def _refuse(self, refusal: Refusal) -> None:
        self._memory.known[refusal.row.id] = refusal.row
        self._unwritten.refusals.append(refusal)

    def _recover(self, topic: Topic, now: float) -> None:
        if topic.is_resting(now):
            return  # what was sent before it failed
        topic.has_answered = True
        if topic.is_probed:
            self._looks.recover(topic, now)

    def _drop(self, rows: Iterable[Row], now: float) -> None:
        """Forget outstanding rows that were not handed over."""
        for row in rows:
            lane = self._feeder.note_outcome(row, now)
            self._memory.known.pop(row.id, None)
            if lane.number is None:
                continue
            lane.pending -= 1
            lane.flight.remove(row)
            self._looks.read_apart(lane, None)
            if not lane.pending:
                self._end_flight(lane, now)

    def _forget_shards(self, lost: frozenset[int]) -> None:
        for lane in [lane for lane in self._memory.lanes.values() if lane.shard in lost]:
            self._looks.forget(lane)
        for outcomes in (self._unwritten, self._locked.waiting):
            for refusal in outcomes.take_refusals(lost):  # whoever has the shard now decides
                self._memory.known.pop(refusal.row.id, None)
                self._locked.release(refusal.row)
        for topic in self._memory.topics.values():
            kept = [row for row in topic.unordered.rows if row.shard not in lost]
            alone = [row for row in topic.alone if row.shard not in lost]
            self._memory.forget_rows(topic.unordered)
            self._memory.forget_alone(topic)
            for row in (*kept, *alone):
                self._memory.add(row)
