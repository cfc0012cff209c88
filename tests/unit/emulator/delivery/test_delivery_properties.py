"""Whatever consumers do, nothing is lost and keys keep their order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import Backoff
from rele.emulator.delivery.message import StoredMessage
from tests.unit.emulator.conftest import Clock, Reader

KEYS = ["", "a", "b"]

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["publish", "take", "ack", "nack", "extend", "release", "sleep", "leave", "replace"]
        ),
        st.integers(0, 5),
    ),
    max_size=60,
)


class Model:
    """Drives a delivery backlog, and checks it after each step."""

    def __init__(self, *, ordered: bool, exactly_once: bool, backoff: float) -> None:
        self.clock = Clock()
        self.backlog = Backlog("0123abcd", self.clock, self.clock.set_alarm, ordered=ordered)
        self.clock.action = self.backlog.advance
        self.backlog.configure(backoff=Backoff(backoff, backoff))
        self.ordered = ordered
        self.exactly_once = exactly_once
        limits = (3, 0, 0)
        self.readers = [Reader(self.backlog, max_messages=limit) for limit in limits]
        self.published: dict[int, str] = {}
        self.given: dict[str, set[int]] = defaultdict(set)
        self.ack_ids: list[str] = []

    def publish(self, number: int) -> None:
        message_id = len(self.published) + 1
        key = KEYS[number % 3]
        self.published[message_id] = key
        self.backlog.publish([StoredMessage(message_id, message_id, b"x", key)])

    def take(self, number: int) -> list[Any]:
        reader = self.readers[number % 3]
        batch = reader.take(max_messages=1 + number // 3)
        for delivery in batch:
            key, number = delivery.message.ordering_key, delivery.message.id
            if self.ordered and key:
                before = {n for n, k in self.published.items() if k == key and n < number}
                assert before <= self.given[key]
            self.given[key].add(number)
            self.ack_ids.append(self.backlog.ack_ids.make(delivery))
        return batch

    def ack(self, number: int) -> None:
        chosen = self.ack_ids[-1 - number :][:1]
        if self.exactly_once:
            self.backlog.acknowledge_exactly(chosen)
        else:
            self.backlog.acknowledge(chosen)

    def nack(self, number: int) -> None:
        self._modify(number, 0)

    def extend(self, number: int) -> None:
        self._modify(number, 20)

    def release(self, number: int) -> None:
        batch = self.take(number)
        self.backlog.release(self.readers[number % 3].consumer, batch)

    def sleep(self, number: int) -> None:
        self.clock.sleep(number * 3)

    def leave(self, number: int) -> None:
        self.readers[number % 3].leave()
        self.readers[number % 3] = Reader(self.backlog)

    def replace(self, number: int) -> None:
        if number == 5:
            self.backlog.replace(self.backlog.unacknowledged())

    def leased(self) -> list[str]:
        """The ack ids of the leases that last."""
        deliveries = self.backlog.deliveries()
        return [self.backlog.ack_ids.make(each) for each in deliveries if each.leased]

    def settle(self, name: str, number: int) -> None:
        """Acknowledge or nack one of the messages that are leased, whichever its place."""
        if leased := self.leased():
            self.ack_ids.append(leased[number % len(leased)])
            getattr(self, name)(0)

    def check(self) -> None:
        leased = [each for each in self.backlog.deliveries() if each.leased]
        holders: dict[str, set[int]] = defaultdict(set)
        for delivery in leased:
            holders[delivery.message.ordering_key].add(id(delivery.consumer))
        for key, consumers in holders.items():
            assert not (self.ordered and key) or len(consumers) == 1
        self.check_nobody_sleeps()
        for reader in self.readers:
            mine = [each for each in leased if each.consumer is reader.consumer]
            assert reader.consumer.flow.messages == len(mine)

    def check_nobody_sleeps(self) -> None:
        """Whoever could take something was woken, or somebody else who could was."""
        idle = self.backlog._consumers._idle
        for owner, size in self.backlog._queue.reserved():
            assert owner not in idle or not owner.flow.admits(size)
        head = self.backlog._queue.head(None)
        awake = [
            reader
            for reader in self.readers
            if reader.consumer not in idle and not reader.consumer.blocked
        ]
        if head is not None and not awake:
            assert not any(each.flow.admits(len(head.encoded)) for each in idle)

    def drain(self) -> set[int]:
        """Acknowledge all that comes until nothing does, and return what came."""
        came: set[int] = set()
        for _ in range(20):
            self.clock.sleep(30)
            for number in range(3):
                while batch := self.take(number):
                    came |= {each.message.id for each in batch}
                    self.backlog.acknowledge([self.backlog.ack_ids.make(each) for each in batch])
        return came

    def _modify(self, number: int, seconds: int) -> None:
        chosen = self.ack_ids[-1 - number :][:1]
        backlog = self.backlog
        modify = backlog.modify_exactly if self.exactly_once else backlog.modify_ack_deadlines
        modify(chosen, [seconds] * len(chosen))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("exactly_once", [True, False])
@given(steps=steps, backoff=st.sampled_from([0.0, 5.0]))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(
    ordered: bool, exactly_once: bool, steps: list[tuple[str, int]], backoff: float
) -> None:
    model = Model(ordered=ordered, exactly_once=exactly_once, backoff=backoff)
    for name, number in steps:
        getattr(model, name)(number)
        model.check()

    expected = {message.id for message in model.backlog.unacknowledged()}
    assert expected <= model.drain()
    assert (model.backlog.waiting, len(model.backlog.deliveries())) == (0, 0)
    assert model.backlog.unacknowledged() == []
    assert all(reader.consumer.flow.messages == 0 for reader in model.readers)


settlements = st.lists(
    st.tuples(st.sampled_from(["ack", "nack"]), st.integers(0, 2)), min_size=6, max_size=20
)


@pytest.mark.parametrize("exactly_once", [True, False])
@given(steps=settlements)
@settings(max_examples=400, deadline=None)
def test_one_key_is_settled_in_any_order(exactly_once: bool, steps: list[tuple[str, int]]) -> None:
    model = Model(ordered=True, exactly_once=exactly_once, backoff=0)
    model.readers[0] = Reader(model.backlog)
    for _ in range(5):
        model.publish(KEYS.index("a"))
    for name, number in steps:
        while model.take(0):
            pass
        model.settle(name, number)
        model.check()

    expected = {message.id for message in model.backlog.unacknowledged()}
    assert expected <= model.drain()
    assert (model.backlog.waiting, len(model.backlog.deliveries())) == (0, 0)
