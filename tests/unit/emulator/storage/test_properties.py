"""Whatever happens, the disk has what the memory has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources.journal import Kind
from rele.emulator.resources.subscription import Subscription
from rele.emulator.storage.loading import load

from ..conftest import Reader
from .conftest import SNAPSHOT, SUB, TOPIC, Disk

OTHER = "projects/p/subscriptions/other"
DAY = 24 * 3600

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("publish", "publish", "take", "take", "ack", "ack", "nack"),
                *("seek", "snapshot", "seek_to_snapshot", "delete_snapshot"),
                *("recreate", "expire", "commit"),
            ]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


class World(Disk):
    """Does things to a topic, two subscriptions and a snapshot."""

    def __init__(self, directory: Path, *, ordered: bool, retain: bool) -> None:
        super().__init__(directory)
        self.options = {"enable_message_ordering": ordered, "retain_acked_messages": retain}
        self.ack_ids: list[str] = []
        self.create_topic(**({"message_retention_duration": {"seconds": DAY}} if retain else {}))
        self.subscribe(**self.options)
        self.subscribe(OTHER, filter="attributes:kind")
        self.made_reader = self.reader()

    def do_publish(self, number: int) -> None:
        for each in range(number + 1):
            attributes = {"kind": ""} if each % 2 else {}
            self.publish(b"x", ordering_key="ab "[each % 3].strip(), attributes=attributes)

    def do_take(self, number: int) -> None:
        for delivery in self.made_reader.take(max_messages=number + 1):
            self.ack_ids.append(self.made_reader.backlog.ack_ids.make(delivery))

    def do_ack(self, number: int) -> None:
        self.made_reader.backlog.acknowledge(self.ack_ids[-1 - number :][:1])

    def do_nack(self, number: int) -> None:
        chosen = self.ack_ids[-1 - number :][:1]
        self.made_reader.backlog.modify_ack_deadlines(chosen, [0] * len(chosen))

    def do_seek(self, number: int) -> None:
        self.seek(
            0 if number % 2 else self.registry.now() + 1_000_000, SUB if number < 4 else OTHER
        )

    def do_snapshot(self, number: int) -> None:
        if SNAPSHOT not in self.snapshots.snapshots:
            self.snapshot(subscription=OTHER if number % 2 else SUB)

    def do_seek_to_snapshot(self, number: int) -> None:
        if SNAPSHOT in self.snapshots.snapshots:
            self.seek_to_snapshot(OTHER if number % 2 else SUB)

    def do_delete_snapshot(self, _number: int) -> None:
        if SNAPSHOT in self.snapshots.snapshots:
            self.snapshots.delete(SNAPSHOT)

    def do_recreate(self, _number: int) -> None:
        self.registry.delete_subscription(SUB)
        self.subscribe(**self.options)
        self.made_reader = self.reader()
        self.ack_ids.clear()

    def do_expire(self, number: int) -> None:
        """Drop the older messages, as their retention does."""
        subscription = self.registry.subscription(SUB)
        unacknowledged = subscription.backlog.unacknowledged()
        if number < len(unacknowledged):
            subscription.backlog.drop_older(unacknowledged[number].publish_time)

    def do_commit(self, _number: int) -> None:
        self.commit()

    def check(self) -> None:
        self.commit()
        kept = load(self.database, self.lines.append).resources.values()
        found = {(each.kind, each.name): (ids(each.messages), ids(each.logged)) for each in kept}
        expected = self.expected()
        assert found == expected
        in_use = {number for lists in expected.values() for some in lists for number in some}
        assert self.count("message") == len(in_use)

    def expected(self) -> dict[tuple[Kind, str], tuple[list[int], list[int]]]:
        topic = self.registry.topic(TOPIC)
        expected = {(Kind.TOPIC, TOPIC): ([], ids(topic.log.since(0) if topic.log else ()))}
        for name in (SUB, OTHER):
            expected[Kind.SUBSCRIPTION, name] = held(self.registry.subscription(name))
        for name, snapshot in self.snapshots.snapshots.items():
            expected[Kind.SNAPSHOT, name] = (ids(snapshot.messages), [])
        return expected


def ids(messages: Iterable[StoredMessage]) -> list[int]:
    return sorted(message.id for message in messages)


def held(subscription: Subscription) -> tuple[list[int], list[int]]:
    log = subscription.log.since(0) if subscription.log else ()
    return ids(subscription.backlog.redeliverable()), ids(log)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("retain", [True, False])
@given(steps=steps)
@settings(max_examples=40, deadline=None)
def test_the_disk_has_what_the_memory_has(
    ordered: bool, retain: bool, steps: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), ordered=ordered, retain=retain)
        try:
            for name, number in steps:
                getattr(world, f"do_{name}")(number)
            world.check()
            before = world.expected()
            attempts = {
                each.message.id: each.attempt for each in world.made_reader.backlog.deliveries()
            }
            world.restart()
            # Acknowledged ones of a key are redelivered with those before them.
            assert world.expected() == before
            for delivery in Reader(world.registry.subscription(SUB).backlog).take():
                assert delivery.attempt >= attempts.get(delivery.message.id, 1)
        finally:
            world.stop()
            world.loop.close()
