"""Retention, seeking and snapshots under a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.ledger import Ledger
from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry
from rele.emulator.rules.refusals import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from rele.emulator.wire.descriptors import message_class
from tests.unit.emulator.conftest import Clock, Reader

SECOND = 1_000_000_000
HOUR = 3600
DAY = 24 * HOUR
START = 1_700_000_000

TOPIC = "projects/p/topics/orders"
SUB = "projects/p/subscriptions/orders"
SNAPSHOT = "projects/p/snapshots/orders"


class World:
    """A registry whose clocks both stand still until ``sleep``."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = Registry(self._backlog, lambda: int(self.wall * SECOND))
        self.snapshots = SnapshotRegistry(self.registry)
        self.registry.create_topic(message_class("Topic")(name=TOPIC))

    @property
    def wall(self) -> float:
        return START + self.clock.now - 1000

    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.registry.sweep()
        self.snapshots.sweep()

    def subscribe(self, name: str = SUB, **fields: Any) -> Reader:
        request = message_class("Subscription")(name=name, topic=TOPIC, **fields)
        return Reader(self.registry.create_subscription(request).backlog)

    def update(self, name: str, path: str, **fields: Any) -> None:
        request = message_class("UpdateSubscriptionRequest")(
            subscription=message_class("Subscription")(name=name, **fields),
            update_mask={"paths": [path]},
        )
        self.registry.update_subscription(request)

    def retain(self, seconds: int) -> None:
        """Have the topic keep its messages for so long."""
        topic = message_class("Topic")(name=TOPIC, message_retention_duration={"seconds": seconds})
        request = message_class("UpdateTopicRequest")(
            topic=topic, update_mask={"paths": ["message_retention_duration"]}
        )
        self.registry.update_topic(request)

    def publish(self, *data: bytes, **fields: Any) -> None:
        message = message_class("PubsubMessage")
        self.registry.publish(
            self.registry.topic(TOPIC), [message(data=each, **fields) for each in data]
        )

    def seek(self, time: float, name: str = SUB) -> None:
        request = message_class("SeekRequest")(subscription=name)
        request.time.FromNanoseconds(int(time * SECOND))
        self.snapshots.seek(request)

    def seek_to_snapshot(self, name: str = SUB) -> None:
        self.snapshots.seek(message_class("SeekRequest")(subscription=name, snapshot=SNAPSHOT))

    def snapshot(self) -> Any:
        request = message_class("CreateSnapshotRequest")(name=SNAPSHOT, subscription=SUB)
        return self.snapshots.create(request).config

    def _backlog(self, ordered: bool, ledger: Ledger) -> Backlog:
        backlog = Backlog(
            "0123abcd", self.clock, self.clock.set_alarm, ordered=ordered, ledger=ledger
        )
        self.clock.action = backlog.advance
        return backlog


@pytest.fixture
def world() -> World:
    return World()


def data(reader: Reader) -> list[bytes]:
    """The data of what there is to take."""
    return [
        message_class("PubsubMessage").FromString(delivery.message.encoded).data
        for delivery in reader.take()
    ]


def consume(reader: Reader) -> None:
    """Acknowledge all there is."""
    reader.backlog.acknowledge([reader.backlog.ack_ids.make(each) for each in reader.take()])


class TestSeekToTime:
    def test_acknowledged_messages_come_back_if_retained(self, world: World) -> None:
        reader = world.subscribe(retain_acked_messages=True)
        world.publish(b"early")
        world.sleep(10)
        since = world.wall
        world.publish(b"a", b"b")
        consume(reader)
        world.seek(since)

        assert data(reader) == [b"a", b"b"]

    def test_otherwise_only_what_is_unacknowledged_stays(self, world: World) -> None:
        reader = world.subscribe()
        world.publish(b"a")
        consume(reader)
        world.publish(b"b")
        world.seek(START)

        assert data(reader) == [b"b"]

    def test_what_is_older_is_acknowledged_outstanding_or_not(self, world: World) -> None:
        reader = world.subscribe(ack_deadline_seconds=10)
        world.publish(b"out", b"waits")
        reader.take_one()
        world.sleep(0.001)
        world.seek(world.wall)
        world.publish(b"new")
        world.sleep(11)

        assert data(reader) == [b"new"]

    def test_what_is_outstanding_is_available_at_once(self, world: World) -> None:
        reader = world.subscribe(ack_deadline_seconds=10)
        world.publish(b"a", b"b")
        reader.take_one()
        world.seek(START)

        assert data(reader) == [b"a", b"b"]
        world.sleep(11)
        assert data(reader) == [b"a", b"b"]

    def test_so_is_what_waits_for_its_backoff(self, world: World) -> None:
        reader = world.subscribe(retry_policy={"minimum_backoff": {"seconds": 600}})
        world.publish(b"a")
        reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
        assert data(reader) == []
        world.seek(START)

        assert data(reader) == [b"a"]

    @pytest.mark.parametrize("ordering_key", ["", "k"])
    @pytest.mark.parametrize("taken_again", [False, True])
    def test_an_ack_that_was_under_way_loses_no_replay(
        self, world: World, ordering_key: str, taken_again: bool
    ) -> None:
        reader = world.subscribe(
            retain_acked_messages=True, enable_message_ordering=bool(ordering_key)
        )
        world.publish(b"a", ordering_key=ordering_key)
        under_way = reader.take_one()
        world.seek(START)
        if taken_again:
            reader.take_one()
        reader.backlog.acknowledge([under_way])
        world.sleep(11)

        assert data(reader) == [b"a"]

    def test_a_nack_or_extension_that_was_under_way_touches_no_new_lease(
        self, world: World
    ) -> None:
        reader = world.subscribe(ack_deadline_seconds=10)
        world.publish(b"a")
        under_way = reader.take_one()
        world.seek(START)
        reader.take_one()
        reader.backlog.modify_ack_deadlines([under_way], [0])
        assert data(reader) == []

        reader.backlog.modify_ack_deadlines([under_way], [600])
        world.sleep(11)
        assert data(reader) == [b"a"]

    def test_with_exactly_once_delivery_ack_ids_from_before_are_refused(self, world: World) -> None:
        reader = world.subscribe(enable_exactly_once_delivery=True)
        world.publish(b"a")
        under_way = reader.take_one()
        world.seek(START)
        again = reader.take_one()

        assert reader.backlog.acknowledge_exactly([under_way]).invalid == [under_way]
        assert reader.backlog.modify_exactly([under_way], [0]).invalid == [under_way]
        assert reader.backlog.acknowledge_exactly([again]).done == [again]

    def test_flow_control_has_room_for_what_is_replayed(self, world: World) -> None:
        reader = world.subscribe()
        limited = Reader(reader.backlog, max_messages=1)
        world.publish(b"a")
        limited.take_one()
        world.seek(START)

        assert data(limited) == [b"a"]

    def test_what_is_acknowledged_before_an_earlier_one_of_its_key_comes_with_it(
        self, world: World
    ) -> None:
        reader = world.subscribe(enable_message_ordering=True)
        world.publish(b"a", b"b", b"c", ordering_key="k")
        _, second, _ = (reader.take_one() for _ in range(3))
        reader.backlog.acknowledge([second])
        world.seek(START)

        assert data(reader) == [b"a", b"b", b"c"]

    def test_keys_come_anew_in_order(self, world: World) -> None:
        reader = world.subscribe(enable_message_ordering=True, retain_acked_messages=True)
        world.publish(b"a", b"b", b"c", ordering_key="k")
        first, second = (reader.take_one() for _ in range(2))
        reader.backlog.acknowledge([first])
        world.seek(START)
        reader.backlog.acknowledge([second])

        assert data(reader) == [b"a", b"b", b"c"]

    def test_the_topic_retains_for_all_its_subscriptions(self, world: World) -> None:
        world.retain(HOUR)
        reader = world.subscribe()
        world.publish(b"a", attributes={"k": "v"})
        world.publish(b"b")
        consume(reader)
        late = world.subscribe(SUB + "-late", filter="attributes:k")
        world.seek(START)
        world.seek(START, SUB + "-late")

        assert data(reader) == [b"a", b"b"]
        assert data(late) == [b"a"]

    def test_retaining_begins_when_it_is_turned_on(self, world: World) -> None:
        reader = world.subscribe()
        world.publish(b"gone")
        consume(reader)
        world.publish(b"a")
        world.update(SUB, "retain_acked_messages", retain_acked_messages=True)
        world.publish(b"b")
        consume(reader)
        world.seek(START)

        assert data(reader) == [b"a", b"b"]

    def test_and_ends_when_it_is_turned_off(self, world: World) -> None:
        reader = world.subscribe(retain_acked_messages=True)
        world.publish(b"a")
        consume(reader)
        world.update(SUB, "retain_acked_messages")
        world.seek(START)

        assert data(reader) == []

    def test_something_has_to_be_sought(self, world: World) -> None:
        world.subscribe()
        with pytest.raises(InvalidArgumentError, match="time or snapshot must be set"):
            world.snapshots.seek(message_class("SeekRequest")(subscription=SUB))


class TestRetention:
    @pytest.mark.parametrize("ordered", [True, False])
    def test_messages_are_dropped_when_their_time_is_over(
        self, world: World, ordered: bool
    ) -> None:
        reader = world.subscribe(
            message_retention_duration={"seconds": 600}, enable_message_ordering=ordered
        )
        world.publish(b"out", b"waits", ordering_key="k")
        reader.take_one()
        world.sleep(300)
        world.publish(b"later", ordering_key="k")
        world.sleep(301)

        assert reader.backlog.deliveries() == []
        assert data(reader) == [b"later"]

    @pytest.mark.parametrize("keep", ["subscription", "topic"])
    def test_so_are_retained_ones(self, world: World, keep: str) -> None:
        if keep == "topic":
            world.retain(600)
        reader = world.subscribe(
            message_retention_duration={"seconds": 600},
            retain_acked_messages=keep == "subscription",
        )
        world.publish(b"a")
        consume(reader)
        world.sleep(300)
        world.publish(b"b")
        consume(reader)
        world.sleep(301)
        world.seek(START)

        assert data(reader) == [b"b"]

    def test_the_topics_retention_is_returned(self, world: World) -> None:
        world.subscribe()
        world.retain(HOUR)
        config = world.registry.subscription(SUB).config
        assert config.topic_message_retention_duration.seconds == HOUR

        world.registry.delete_topic(TOPIC)
        config = world.registry.subscription(SUB).config
        assert not config.HasField("topic_message_retention_duration")


class TestExpiration:
    def test_a_subscription_that_nobody_uses_is_deleted(self, world: World) -> None:
        world.subscribe(expiration_policy={"ttl": {"seconds": DAY}}).leave()
        world.sleep(DAY - 1)
        world.registry.subscription(SUB)
        world.sleep(DAY)
        world.registry.subscription(SUB)
        world.sleep(DAY + 1)

        with pytest.raises(NotFoundError):
            world.registry.subscription(SUB)

    def test_one_with_a_consumer_or_without_a_limit_stays(self, world: World) -> None:
        world.subscribe(expiration_policy={"ttl": {"seconds": DAY}})
        world.subscribe(SUB + "-2", expiration_policy={}).leave()
        for _ in range(3):
            world.sleep(40 * DAY)

        assert sorted(world.registry.subscriptions) == [SUB, SUB + "-2"]


class TestSnapshots:
    def test_it_has_what_was_unacknowledged_and_what_came_after(self, world: World) -> None:
        reader = world.subscribe()
        world.publish(b"gone")
        consume(reader)
        world.publish(b"a")
        world.snapshot()
        world.publish(b"b")
        consume(reader)
        world.seek_to_snapshot()

        assert data(reader) == [b"a", b"b"]

    def test_filters_of_both_subscriptions_count(self, world: World) -> None:
        world.subscribe(filter="attributes:a")
        other = world.subscribe(SUB + "-2", filter="attributes:b")
        world.snapshot()
        for attributes in ({"a": ""}, {"b": ""}, {"a": "", "b": ""}):
            world.publish(str(sorted(attributes)).encode(), attributes=attributes)
        consume(other)
        world.seek_to_snapshot(SUB + "-2")

        assert data(other) == [b"['a', 'b']"]

    @pytest.mark.parametrize("ordering_key", ["", "k"])
    def test_a_seek_ends_leases_and_voids_their_ack_ids(
        self, world: World, ordering_key: str
    ) -> None:
        reader = world.subscribe(enable_message_ordering=bool(ordering_key))
        world.publish(b"a", b"b", ordering_key=ordering_key)
        world.snapshot()
        under_way = [reader.take_one(), reader.take_one()]
        world.seek_to_snapshot()
        reader.backlog.acknowledge(under_way)

        assert data(reader) == [b"a", b"b"]

    def test_it_lives_for_seven_days_less_the_age_of_its_oldest_message(self, world: World) -> None:
        world.subscribe()
        assert world.snapshot().expire_time.seconds == START + 7 * DAY
        world.snapshots.delete(SNAPSHOT)
        world.publish(b"a")
        world.sleep(DAY)
        assert world.snapshot().expire_time.seconds == START + 7 * DAY

        world.sleep(6 * DAY)
        with pytest.raises(NotFoundError):
            world.snapshots.get(SNAPSHOT)
        assert world.registry.topic(TOPIC).snapshots == {}

    def test_one_that_would_be_gone_within_an_hour_is_refused(self, world: World) -> None:
        world.subscribe()
        world.publish(b"a")
        world.clock.sleep(7 * DAY - HOUR + 1)

        with pytest.raises(FailedPreconditionError, match="less than 1 hour"):
            world.snapshot()

    def test_it_is_of_one_topic(self, world: World) -> None:
        world.subscribe()
        world.snapshot()
        other = "projects/p/topics/other"
        world.registry.create_topic(message_class("Topic")(name=other))
        world.registry.create_subscription(
            message_class("Subscription")(name=SUB + "-2", topic=other)
        )

        with pytest.raises(InvalidArgumentError, match="snapshot must be of the subscription's"):
            world.seek_to_snapshot(SUB + "-2")

    @pytest.mark.parametrize(
        ("paths", "seconds", "text"),
        [
            ([], 0, "update_mask must have at least one path"),
            (["topic"], 0, "topic of a Snapshot cannot be changed"),
            (["nope"], 0, "nope is not a known Snapshot field"),
            (["expire_time"], START, "snapshot.expire_time must be in the future"),
            (["expire_time"], START + 8 * DAY, "at most 7 days"),
        ],
    )
    def test_a_bad_update_is_refused(
        self, world: World, paths: list[str], seconds: int, text: str
    ) -> None:
        world.subscribe()
        world.snapshot()
        request = message_class("UpdateSnapshotRequest")(
            snapshot={"name": SNAPSHOT, "expire_time": {"seconds": seconds}},
            update_mask={"paths": paths},
        )

        with pytest.raises(InvalidArgumentError, match=text):
            world.snapshots.update(request)

    def test_its_time_can_be_changed(self, world: World) -> None:
        world.subscribe()
        world.snapshot()
        request = message_class("UpdateSnapshotRequest")(
            snapshot={"name": SNAPSHOT, "expire_time": {"seconds": START + HOUR}},
            update_mask={"paths": ["expire_time"]},
        )
        world.snapshots.update(request)
        world.sleep(HOUR)

        with pytest.raises(NotFoundError):
            world.seek_to_snapshot()


def test_messages_of_a_detached_subscription_are_dropped(world: World) -> None:
    reader = world.subscribe()
    world.publish(b"a")
    world.registry.detach_subscription(SUB)
    world.publish(b"b")

    assert isinstance(reader.closed_with, FailedPreconditionError)
    with pytest.raises(FailedPreconditionError, match="detached"):
        world.registry.attached_subscription(SUB)
    assert world.registry.subscription(SUB).config.detached
    assert world.registry.topic(TOPIC).subscriptions == {}


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({f"k{number}": "" for number in range(65)}, "labels: there must be at most 64, got 65"),
        ({"": "v"}, "a key must be"),
        ({"Key": "v"}, "a key must be"),
        ({"1k": "v"}, "a key must be"),
        ({"k" * 64: "v"}, "a key must be"),
        ({"k": "V"}, "a value must be"),
        ({"k": "v" * 64}, "a value must be"),
    ],
)
@pytest.mark.parametrize("of", ["topic", "subscription", "snapshot"])
def test_labels_have_limits(world: World, of: str, labels: dict[str, str], text: str) -> None:
    make: dict[str, Callable[[], Any]] = {
        "topic": lambda: world.registry.create_topic(
            message_class("Topic")(name=TOPIC + "-2", labels=labels)
        ),
        "subscription": lambda: world.subscribe(labels=labels),
        "snapshot": lambda: world.snapshots.create(
            message_class("CreateSnapshotRequest")(name=SNAPSHOT, subscription=SUB, labels=labels)
        ),
    }
    with pytest.raises(InvalidArgumentError, match=text):
        make[of]()


def test_labels_may_be_of_any_script(world: World) -> None:
    world.subscribe(labels={"größe_1": "みんな-2", "k" * 63: ""})
