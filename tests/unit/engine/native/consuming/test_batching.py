"""Which deliveries form a batch, and when."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.delivery import Delivery

_numbers = count()


def delivery(received_at: float = 0.0, key: str = "") -> Delivery:
    number = next(_numbers)
    made = Delivery(f"ack-{number}", f"id-{number}", key)
    made.received_at = received_at
    return made


@pytest.fixture
def batching() -> Batching:
    return Batching(max_messages=3, max_wait=10)


def test_a_full_batch_is_due_at_once(batching: Batching) -> None:
    deliveries = [delivery(5) for _ in range(4)]
    for each in deliveries:
        batching.add(each)

    assert batching.take_due(5) == deliveries[:3]
    assert batching.take_due(5) == []
    assert batching.next_due() == 15


def test_a_smaller_one_is_due_when_its_oldest_has_waited(batching: Batching) -> None:
    deliveries = [delivery(5), delivery(9)]
    for each in deliveries:
        batching.add(each)

    assert batching.next_due() == 15
    assert batching.take_due(14.9) == []
    assert batching.take_due(15) == deliveries
    assert batching.next_due() is None


def test_the_oldest_counts_that_waits_still(batching: Batching) -> None:
    for received_at in (1, 1, 1, 7, 4):
        batching.add(delivery(received_at))

    batching.take_due(1)

    assert batching.next_due() == 14


def test_a_batch_may_have_several_messages_of_a_key(batching: Batching) -> None:
    deliveries = [delivery(0, "a"), delivery(0, "b"), delivery(0, "a")]
    for each in deliveries:
        batching.add(each)

    assert batching.take_due(0) == deliveries


def test_a_key_waits_for_the_end_of_its_batch(batching: Batching) -> None:
    deliveries = [delivery(0, "a") for _ in range(4)]
    for each in deliveries:
        batching.add(each)
    later = delivery(1, "a")
    batch = batching.take_due(0)
    batching.add(later)

    assert batching.next_due() is None
    assert batching.take_due(100) == []
    batching.release(batch, lambda delivery: True)
    assert batching.take_due(100) == [deliveries[3], later]


def test_what_is_not_to_be_handled_any_more_is_forgotten(batching: Batching) -> None:
    deliveries = [delivery(0, "a") for _ in range(5)]
    for each in deliveries:
        batching.add(each)
    batch = batching.take_due(0)

    batching.release(batch, lambda each: each is not deliveries[3])

    assert batching.take_due(100) == [deliveries[4]]


def test_a_batch_that_cannot_be_handled_is_put_back_in_its_place(batching: Batching) -> None:
    deliveries = [delivery(0, "a"), delivery(0), delivery(0, "b"), delivery(0, "a"), delivery(0)]
    for each in deliveries:
        batching.add(each)

    batching.put_back(batching.take_due(0))

    assert batching.take_due(0) == deliveries[:3]
    assert batching.take_due(100) == [deliveries[4]], "the key of the other is taken"


def test_a_key_waits_no_more_for_a_batch_that_may_never_end(batching: Batching) -> None:
    stuck = [delivery(0, "a"), delivery(0, "b"), delivery(0, "a")]
    for each in stuck:
        batching.add(each)
    batch = batching.take_due(0)
    copy, other = delivery(1, "a"), delivery(1, "b")
    copy.message_id = stuck[2].message_id
    batching.add(copy)
    batching.add(other)

    batching.abandon(copy, lambda delivery: True)

    again = batching.take_due(100)
    assert again == [copy]
    batching.release(batch, lambda delivery: True)
    assert batching.take_due(100) == [other]
    later = delivery(2, "a")
    batching.add(later)
    assert batching.take_due(100) == [], "the key belongs to another batch now"


def test_what_waits_can_be_cleared(batching: Batching) -> None:
    deliveries = [delivery(0, "a") for _ in range(4)]
    for each in deliveries:
        batching.add(each)
    batch = batching.take_due(0)
    other = delivery(0)
    batching.add(other)

    assert batching.clear() == [other, deliveries[3]]
    batching.release(batch, lambda delivery: True)
    assert batching.take_due(100) == []
    assert batching.next_due() is None


class Batches(RuleBasedStateMachine):
    """Deliveries of several keys, and batches that begin and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.batching = Batching(max_messages=4, max_wait=10)
        self.now = 0.0
        self.waiting: list[Delivery] = []
        self.running: list[list[Delivery]] = []
        self.taken: dict[str, list[int]] = {}
        self.numbers: dict[Delivery, int] = {}

    @rule(key=st.sampled_from(["", "a", "b"]))
    def add(self, key: str) -> None:
        new = delivery(self.now, key)
        self.numbers[new] = len(self.numbers)
        self.waiting.append(new)
        self.batching.add(new)

    @rule(seconds=st.floats(0.1, 12))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        due = self.batching.next_due()
        batch = self.batching.take_due(self.now)

        assert bool(batch) == (due is not None and due <= self.now)
        assert len(batch) <= 4
        for each in batch:
            self.waiting.remove(each)
            if each.key:
                taken = self.taken.setdefault(each.key, [])
                assert taken == [] or taken[-1] < self.numbers[each], "in order"
                taken.append(self.numbers[each])
        if batch:
            self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        batch = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.batching.release(batch, lambda each: True)

    @invariant()
    def no_two_batches_share_a_key(self) -> None:
        keys = [{each.key for each in batch} - {""} for batch in self.running]
        assert sum(map(len, keys)) == len(set().union(*keys))

    @invariant()
    def nothing_waits_longer_than_it_must(self) -> None:
        busy = {each.key for batch in self.running for each in batch} - {""}
        free = [each for each in self.waiting if each.key not in busy]
        due = self.batching.next_due()
        if not free:
            assert due is None
        else:
            oldest = min(each.received_at for each in free)
            assert due == (oldest if len(free) >= 4 else oldest + 10)

    def teardown(self) -> None:
        for batch in self.running:
            self.batching.release(batch, lambda each: True)
        left: list[Delivery] = []
        while batch := self.batching.take_due(self.now + 100):
            left += batch
            self.batching.release(batch, lambda each: True)
        assert sorted(map(self.numbers.__getitem__, left)) == sorted(
            map(self.numbers.__getitem__, self.waiting)
        )


TestBatches = Batches.TestCase
TestBatches.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
