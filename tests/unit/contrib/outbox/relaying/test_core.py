"""What the relay decides, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rele.contrib.outbox.relaying import looks
from rele.contrib.outbox.relaying.core import RelayCore
from rele.contrib.outbox.relaying.feeding import Limits
from rele.contrib.outbox.relaying.rows import DelayedLook, Look
from tests.support.relay_world import ALL, Clock, PubSub, Record, Runner, Table


def world(**options: object) -> tuple[Table, PubSub, Runner, Clock]:
    table, pubsub = Table(), PubSub()
    return table, pubsub, Runner(table, pubsub, **options), Clock()  # type: ignore[arg-type]


def ids(pubsub: PubSub) -> list[int]:
    return [row.id for row in pubsub.accepted]


def test_sends_everything_once_in_order() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", n % 3) for n in range(100)))
    table.commit(*(table.new("orders") for _ in range(100)))

    relay.run(clock, 5)

    assert table.rows == {}
    assert set(pubsub.counts.values()) == {1}
    assert all(lane == sorted(lane) for lane in pubsub.first_appearances().values())


def test_of_keys_that_take_turns_many_messages_are_sent_together() -> None:
    table, pubsub, relay, clock = world(limits=Limits(100, 10**9))
    table.commit(*(table.new("orders", n % 20) for n in range(4_000)))

    relay.run(clock, 5)

    runs = [len(list(run)) for _, run in groupby(pubsub.accepted, key=lambda row: row.lane)]
    assert sum(runs) == 4_000
    assert sum(runs) / len(runs) > 40


def test_what_waits_behind_a_refused_message_is_not_read_again_and_again() -> None:
    table, pubsub, relay, clock = world(limits=Limits(10, 10**9))
    table.commit(*(table.new("orders", 1) for _ in range(5_000)))
    pubsub.refused.add(1)
    relay.run(clock, 0.2)
    table.commit(other := table.new("photos"))
    table.read = 0

    relay.run(clock, 1.0)

    assert ids(pubsub) == [other.id]
    assert table.read < 50


def test_a_lane_goes_on_when_its_first_message_is_accepted_at_last() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", 1) for _ in range(50)))
    pubsub.refused.add(1)
    relay.run(clock, 1)
    assert ids(pubsub) == []
    pubsub.refused.clear()

    relay.run(clock, 5)

    assert ids(pubsub) == list(range(1, 51))


def test_a_lane_goes_on_when_its_first_message_is_parked() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", 1) for _ in range(50)))
    pubsub.refused.add(1)

    relay.run(clock, 20)

    assert ids(pubsub) == list(range(2, 51))
    assert table.rows[1].state == "parked"


def test_a_topic_that_is_unavailable_rests_and_is_probed_by_one_message() -> None:
    table, pubsub, relay, clock = world()
    pubsub.unavailable.add("down")
    table.commit(*(table.new("down") for _ in range(500)))
    table.commit(*(table.new("orders") for _ in range(500)))
    relay.run(clock, 9)
    assert len(pubsub.accepted) == 500
    assert {row.topic for row in pubsub.accepted} == {"orders"}
    relay.looks.clear()

    while not relay.under_way:
        relay.step(clock.now)
        clock.now += 0.05

    assert len(relay.outstanding) == 1
    pubsub.unavailable.clear()
    relay.run(clock, 5)
    assert table.rows == {}
    assert set(pubsub.counts.values()) == {1}


def test_an_outage_lasts_until_a_message_is_accepted_or_nothing_is_left_to_be_sent() -> None:
    table, pubsub, relay, clock = world()
    pubsub.unavailable.add("orders")
    table.commit(order := table.new("orders"))
    relay.run(clock, 1)
    assert str(relay.core.outage).startswith("Pub/Sub does not accept the messages of the outbox")

    table.commit(table.new("photos"))
    relay.run(clock, 1)
    assert relay.core.outage is None

    relay.run(clock, 20)
    assert relay.core.outage is not None
    del table.rows[order.id]  # somebody discards it
    relay.run(clock, 20)
    assert relay.core.outage is None


def test_a_topic_that_does_not_answer_takes_nothing_of_others() -> None:
    table, pubsub, relay, clock = world(limits=Limits(10, 10_000))
    pubsub.silent = {"silent", "mute"}
    for topic in ("silent", "mute", "orders"):
        table.commit(*(table.new(topic) for _ in range(500)))

    relay.run(clock, 20)

    assert len(pubsub.accepted) == 500
    assert {row.topic for row in pubsub.accepted} == {"orders"}
    assert len(relay.outstanding) <= 20


def test_a_message_larger_than_the_limit_is_sent_alone_and_does_not_starve() -> None:
    table, pubsub, relay, clock = world(limits=Limits(10, 10_000))
    table.commit(large := table.new("photos", size=50_000))
    table.commit(*(table.new("orders") for _ in range(1_000)))

    relay.run(clock, 3)

    assert large.id in ids(pubsub)


def test_large_messages_are_bounded_in_bytes() -> None:
    table, pubsub, relay, clock = world(limits=Limits(100, 10_000))
    table.commit(*(table.new("photos", size=3_000) for _ in range(60)))
    relay.step(clock.now)

    assert len(relay.outstanding) == 1
    relay.answer(0, clock.now)
    relay.step(clock.now)
    assert len(relay.outstanding) == 3

    relay.run(clock, 5)
    assert len(pubsub.accepted) == 60


def test_a_message_that_was_committed_late_is_found() -> None:
    table, pubsub, relay, clock = world()
    late, later = table.new("orders"), table.new("orders")
    table.commit(*(table.new("orders") for _ in range(10)))
    relay.run(clock, 1)
    table.commit(late)
    relay.run(clock, 0.3)
    assert late.id in ids(pubsub)
    relay.run(clock, 30)
    table.commit(later)
    relay.run(clock, 1.5)
    assert later.id in ids(pubsub)


def test_nothing_is_read_or_sent_while_an_outcome_is_not_written_down() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders") for _ in range(30)))
    relay.is_unwritable = True

    relay.run(clock, 60)

    assert ids(pubsub) == list(range(1, 11))
    relay.is_unwritable = False
    relay.run(clock, 1)
    assert ids(pubsub) == list(range(1, 31))
    assert table.rows == {}


def test_what_another_transaction_has_locked_holds_back_its_key_alone() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", n % 2) for n in range(40)))
    table.commit(*(table.new("orders") for _ in range(40)))
    table.locked = {1, 50}

    relay.run(clock, 10)

    locked_lane = {row.id for row in pubsub.accepted if row.lane == 0}
    assert locked_lane <= set(range(1, 21))  # the first flight, at most
    assert set(ids(pubsub)) >= {*range(2, 41, 2), *range(41, 81)}
    assert table.rows.keys() >= {1, 50}
    assert relay.core.locked == 2
    assert relay.core.locked_for(clock.now) > 9

    table.locked.clear()
    relay.run(clock, 3)
    assert table.rows == {}
    assert relay.core.locked == 0
    assert relay.core.locked_for(clock.now) == 0
    assert set(pubsub.counts.values()) == {1}
    assert all(lane == sorted(lane) for lane in pubsub.first_appearances().values())


def test_what_is_refused_while_its_row_is_locked_is_not_sent_again_before_that_is_written() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", 1) for _ in range(5)))
    table.commit(*(table.new("photos") for _ in range(5)))
    pubsub.refused = {1, 7}
    table.locked = {1, 7}
    relay.run(clock, 5)
    pubsub.refused.clear()
    relay.run(clock, 5)
    assert sorted(ids(pubsub)) == [6, 8, 9, 10]

    table.locked.clear()
    relay.run(clock, 5)

    assert table.rows == {}
    assert [row.id for row in pubsub.accepted if row.lane == 1] == [1, 2, 3, 4, 5]


def test_how_much_is_sent_of_a_topic_whose_rows_are_locked_is_bounded() -> None:
    table, pubsub, relay, clock = world(limits=Limits(10, 10_000))
    table.commit(*(table.new("orders") for _ in range(500)))
    table.commit(*(table.new("photos", size=3_000) for _ in range(100)))
    table.commit(*(table.new("other") for _ in range(100)))
    table.locked = set(range(1, 601))

    relay.run(clock, 20)

    topics = Counter(row.topic for row in pubsub.accepted)
    assert topics["orders"] <= 10
    assert topics["photos"] <= 5
    assert topics["other"] == 100
    table.locked.clear()
    relay.run(clock, 20)
    assert table.rows == {}
    assert set(pubsub.counts.values()) == {1}


def test_a_locked_row_is_tried_again_less_and_less_often_and_others_are_read_meanwhile() -> None:
    table, _, relay, clock = world()
    table.commit(table.new("orders"))
    table.locked = {1}
    relay.run(clock, 5)
    times = []
    while len(times) < 5:
        relay.core.retry_locked(clock.now)
        if relay.core.unwritten:
            times.append(clock.now)
            relay.core.note_written(clock.now, {1})
        assert relay.core.next_due(clock.now) <= clock.now + 1
        clock.now += 0.01

    assert max(later - time for time, later in pairwise(times)) == pytest.approx(0.5, abs=0.02)


def test_the_failure_of_a_locked_row_of_a_lost_shard_is_forgotten() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", 1) for _ in range(5)))
    pubsub.refused = {1}
    table.locked = {1}
    relay.run(clock, 1)
    assert relay.core.busy_shards() == {1}

    relay.shards = frozenset()
    relay.run(clock, 1)

    assert relay.core.busy_shards() == frozenset()
    assert not relay.core.known
    pubsub.refused.clear()
    table.locked.clear()
    relay.shards = ALL
    relay.run(clock, 3)
    assert ids(pubsub) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("lane", [None, 1])
def test_what_is_committed_late_is_found_before_the_rest_of_its_topic_or_lane_is_sent(
    lane: int | None,
) -> None:
    table, pubsub, relay, clock = world()
    late = table.new("orders", lane)
    table.commit(*(table.new("orders", lane) for _ in range(3_000)))
    relay.run(clock, 1)
    table.commit(late)

    relay.run(clock, 3)

    assert late.id in ids(pubsub)
    assert len(table.rows) > 1_000
    relay.run(clock, 30)
    assert table.rows == {}
    assert set(pubsub.counts.values()) == {1}


def test_what_is_committed_late_is_found_in_a_topic_that_has_rested() -> None:
    table, pubsub, relay, clock = world()
    late = table.new("orders")
    table.commit(*(table.new("orders") for _ in range(3_000)))
    pubsub.unavailable.add("orders")
    relay.run(clock, 5)
    pubsub.unavailable.clear()
    while not pubsub.accepted:
        relay.run(clock, 0.05)
    relay.run(clock, 1)
    table.commit(late)

    relay.run(clock, 3)

    assert late.id in ids(pubsub)
    assert len(table.rows) > 1_000


def test_a_shard_that_is_lost_is_not_sent_any_more() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", n % 32) for n in range(1_000)))
    relay.step(clock.now)
    outstanding = {row.id for row in relay.outstanding}
    relay.shards = frozenset(range(8))

    relay.run(clock, 5)

    assert {n % 32 % 16 < 8 for n in (i - 1 for i in set(ids(pubsub)) - outstanding)} == {True}
    relay.shards = ALL
    relay.run(clock, 5)
    assert table.rows == {}
    assert set(pubsub.counts.values()) == {1}
    assert all(lane == sorted(lane) for lane in pubsub.first_appearances().values())


def test_so_many_delayed_lanes_that_they_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "NAMED", 50)
    table, pubsub, relay, clock = world(max_attempts=20, limits=Limits(100, 10**9))
    for _ in range(2):
        table.commit(*(table.new("orders", n) for n in range(80)))
    pubsub.refused = set(range(1, 81))
    relay.run(clock, 10)
    table.commit(other := table.new("photos"))
    relay.looks.clear()

    relay.run(clock, 1)

    assert ids(pubsub) == [other.id]
    [look] = [each for each in relay.looks if isinstance(each, Look) and each.lane is None][-1:]
    assert look.without_delayed_lanes
    assert len(look.without_lanes) < 50
    pubsub.refused.clear()
    relay.run(clock, 40)
    assert table.rows == {}
    assert all(lane == sorted(lane) for lane in pubsub.first_appearances().values())


def test_a_lane_of_which_much_waits_leaves_room_for_others() -> None:
    table, pubsub, relay, clock = world()
    table.commit(*(table.new("orders", 1) for _ in range(3_000)))
    table.commit(other := table.new("orders", 2))

    relay.run(clock, 0.5)

    assert other.id in ids(pubsub)
    relay.run(clock, 30)
    assert table.rows == {}
    assert all(lane == sorted(lane) for lane in pubsub.first_appearances().values())


def test_a_topic_of_which_much_waits_leaves_room_for_others() -> None:
    table, pubsub, relay, clock = world()
    pubsub.silent.add("mute")
    table.commit(*(table.new("mute") for _ in range(3_000)))
    table.commit(other := table.new("orders"))

    relay.run(clock, 0.5)

    assert other.id in ids(pubsub)


def test_what_somebody_lets_be_tried_again_is_seen_within_a_second() -> None:
    table, pubsub, relay, clock = world(max_attempts=20)
    table.commit(*(table.new("orders", 1) for _ in range(10)))
    pubsub.refused.add(1)
    relay.run(clock, 60)
    pubsub.refused.clear()
    table.rows[1].state, table.rows[1].attempts = "waiting", 0

    relay.run(clock, 1.5)

    assert ids(pubsub) == list(range(1, 11))


def test_looks_for_delayed_messages_before_all_others() -> None:
    core = RelayCore(Limits(10, 10_000), 3, lambda error: False)
    core.set_shards(ALL, 1.0)

    assert isinstance(core.next_look(1.0), DelayedLook)


class Turmoil:
    """Whatever can happen, by chance: writers, Pub/Sub, leases and the table itself."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.table, self.pubsub, self.clock = Table(), PubSub(), Clock()
        limits = Limits(chance.choice([1, 3, 10]), chance.choice([2_000, 20_000]))
        # In ids that are visible, an open transaction of a lane ends before the next begins.
        self.relays = [
            Runner(self.table, self.pubsub, limits, max_attempts=3, shards=shards)
            for shards in (ALL, frozenset[int]())
        ]
        self.open: list[Record] = []
        self.written = 0
        self.accepted_or_parked: set[int] = set()

    def play(self, steps: int) -> None:
        actions = [
            *[self.publish] * 6,
            *[self.step] * 6,
            *[self.answer] * 8,
            self.commit_late,
            self.turn_topic,
            self.refuse,
            self.pass_time,
            self.move_shards,
            self.turn_writing,
            self.turn_lock,
        ]
        for _ in range(steps):
            self.chance.choice(actions)()
            self.clock.now += self.chance.choice([0.0, 0.01, 0.3])

    def publish(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            lane = self.chance.choice([None, None, 1, 2, 17, 18, 40])
            topic = self.chance.choice(["a", "b"]) if lane is None else "ab"[lane % 2]
            record = self.table.new(topic, lane, self.chance.choice([100, 1_000, 5_000]))
            self.written += 1
            # A lane is written by one writer after the other: ids are in the order of commits.
            if lane is None and self.chance.random() < 0.2:
                self.open.append(record)
            else:
                self.table.commit(record)

    def commit_late(self) -> None:
        if self.open:
            self.table.commit(self.open.pop(self.chance.randrange(len(self.open))))

    def step(self) -> None:
        self.chance.choice(self.relays).step(self.clock.now)

    def answer(self) -> None:
        relay = self.chance.choice(self.relays)
        if relay.under_way:
            relay.answer(self.chance.randrange(len(relay.under_way)), self.clock.now)

    def turn_topic(self) -> None:
        kind = self.chance.choice([self.pubsub.unavailable, self.pubsub.silent])
        kind ^= {self.chance.choice(["a", "b"])}

    def refuse(self) -> None:
        if self.table.rows:
            self.pubsub.refused ^= {self.chance.choice(list(self.table.rows))}

    def pass_time(self) -> None:
        self.clock.now += self.chance.choice([1, 5, 12])

    def move_shards(self) -> None:
        """A relay that was suspended may go on with its requests for a while."""
        mine = frozenset(self.chance.sample(range(16), self.chance.randint(0, 16)))
        first, second = self.chance.sample(self.relays, 2)
        first.shards, second.shards = mine, ALL - mine

    def turn_writing(self) -> None:
        relay = self.chance.choice(self.relays)
        relay.is_unwritable = not relay.is_unwritable

    def turn_lock(self) -> None:
        """Another transaction locks a row, or ends."""
        if self.table.rows:
            self.table.locked ^= {self.chance.choice(list(self.table.rows))}

    def calm_down(self) -> None:
        """Everything works again; after a while nothing waits."""
        self.table.commit(*self.open)
        self.pubsub.unavailable.clear()
        self.pubsub.silent.clear()
        self.pubsub.refused.clear()
        self.table.locked.clear()
        for relay in self.relays:
            relay.is_unwritable = False
        for _ in range(3_000):
            for relay in self.relays:
                relay.step(self.clock.now)
                for _ in range(len(relay.under_way)):
                    relay.answer(0, self.clock.now)
            self.clock.now += 0.1
            if not any(row.state != "parked" for row in self.table.rows.values()):
                return
        raise AssertionError(f"still there: {self.table.rows}")


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_whatever_happens_nothing_is_lost_and_first_appearances_are_in_order(seed: int) -> None:
    turmoil = Turmoil(random.Random(seed))

    turmoil.play(400)
    turmoil.calm_down()

    parked = {row.id for row in turmoil.table.rows.values()}
    assert set(turmoil.pubsub.counts) | parked == set(range(1, turmoil.written + 1))
    for ids_of_lane in turmoil.pubsub.first_appearances().values():
        in_order = [each for each in ids_of_lane if each not in parked]
        assert in_order == sorted(in_order)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_one_relay_that_loses_nothing_sends_nothing_twice(seed: int) -> None:
    turmoil = Turmoil(random.Random(seed))
    del turmoil.relays[1:]
    turmoil.move_shards = lambda: None  # type: ignore[method-assign]

    turmoil.play(300)
    turmoil.calm_down()

    assert set(turmoil.pubsub.counts.values()) <= {1}
