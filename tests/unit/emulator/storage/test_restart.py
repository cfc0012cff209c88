"""What outlives the server, and what does not."""

from __future__ import annotations

import sqlite3

import pytest

from rele.emulator.rules import names
from rele.emulator.rules.refusals import FailedPreconditionError, NotFoundError
from rele.emulator.storage.database import FILE_NAME
from rele.emulator.storage.payloads import Payloads
from rele.emulator.storage.rows import WRITE_TALLY, Tally
from rele.emulator.wire.descriptors import message_class

from .conftest import SNAPSHOT, SUB, TOPIC, Disk, acknowledge, data

DAY = 24 * 3600


@pytest.fixture(autouse=True, params=["in memory", "on disk"])
def payloads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything works the same wherever the bytes are read from."""
    if request.param == "on disk":
        monkeypatch.setattr(Payloads, "most_bytes", 0)


def test_configurations_stay_as_they_are(disk: Disk) -> None:
    disk.subscribe(
        labels={"a": "b"},
        filter='attributes.kind = "x"',
        enable_exactly_once_delivery=True,
        retry_policy={"minimum_backoff": {"seconds": 5}},
        dead_letter_policy={"dead_letter_topic": TOPIC, "max_delivery_attempts": 7},
    )
    before = disk.registry.subscription(SUB).config
    request = message_class("UpdateTopicRequest")(
        topic={"name": TOPIC, "labels": {"c": "d"}}, update_mask={"paths": ["labels"]}
    )
    disk.registry.update_topic(request)
    disk.restart()

    subscription = disk.registry.subscription(SUB)
    assert subscription.config == before
    assert subscription.backlog.exactly_once
    assert disk.registry.topic(TOPIC).config.labels == {"c": "d"}
    assert list(disk.registry.topic(TOPIC).subscriptions) == [SUB]
    disk.publish(b"no")
    disk.publish(b"yes", attributes={"kind": "x"})
    reader = disk.reader()
    (nacked,) = reader.take()
    reader.backlog.modify_exactly([reader.backlog.ack_ids.make(nacked)], [0])
    # It waits for its backoff, and cannot be taken yet.
    assert (reader.take(), reader.backlog.census().waiting) == ([], 1)
    assert nacked.due == pytest.approx(disk.loop.time() + 5, abs=4)


def test_what_is_not_acknowledged_is_redelivered(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1", b"2", b"3")
    acknowledge(disk.reader())
    assert data(disk.reader()) == [b"2", b"3"]
    disk.restart()

    assert data(disk.reader()) == [b"2", b"3"]


def test_ack_ids_of_the_former_server_are_worth_nothing(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    ack_id = disk.reader().take_one()
    disk.restart()

    disk.reader().backlog.acknowledge([ack_id])
    assert data(disk.reader()) == [b"1"]


def test_message_ids_go_on_increasing(disk: Disk) -> None:
    disk.subscribe()
    disk.stop()
    with sqlite3.connect(disk.directory / FILE_NAME) as connection:
        _, *counts, _, _ = connection.execute("SELECT * FROM tally").fetchone()
        connection.execute(WRITE_TALLY, Tally(*counts, last_id=2**62).row())
    connection.close()
    disk.open()

    assert disk.publish(b"1") == [2**62 + 1]
    acknowledge(disk.reader())
    disk.restart()
    assert disk.publish(b"2") == [2**62 + 2]


def test_attempts_go_on(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1", b"2")
    reader = disk.reader()
    reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
    disk.restart()

    assert [each.attempt for each in disk.reader().take()] == [2, 1]


def test_keys_keep_their_order_and_bring_acknowledged_followers_again(disk: Disk) -> None:
    disk.subscribe(enable_message_ordering=True)
    disk.publish(b"a1", b"a2", b"a3", ordering_key="a")
    reader = disk.reader()
    _, second, _ = reader.take()
    reader.backlog.acknowledge([reader.backlog.ack_ids.make(second)])
    disk.restart()
    assert data(disk.reader()) == [b"a1", b"a2", b"a3"]

    acknowledge_all = disk.reader()
    acknowledge_all.backlog.replace(acknowledge_all.backlog.unacknowledged())
    acknowledge(acknowledge_all)
    disk.restart()
    assert data(disk.reader()) == [b"a2", b"a3"]


def test_what_a_subscription_retains_can_be_sought(disk: Disk) -> None:
    disk.subscribe(retain_acked_messages=True)
    disk.publish(b"1", b"2")
    acknowledge(disk.reader(), 2)
    disk.restart()
    assert data(disk.reader()) == []

    disk.seek(0)
    disk.restart()
    assert data(disk.reader()) == [b"1", b"2"]


@pytest.mark.parametrize("ordering_key", ["", "k"])
def test_an_ack_that_was_under_way_at_a_seek_loses_no_replay(disk: Disk, ordering_key: str) -> None:
    disk.subscribe(retain_acked_messages=True, enable_message_ordering=bool(ordering_key))
    disk.publish(b"1", b"2", ordering_key=ordering_key)
    reader = disk.reader()
    reader.backlog.acknowledge([reader.take_one()])
    under_way = reader.take_one()
    disk.seek(0)
    assert data(reader) == [b"1", b"2"]

    reader.backlog.acknowledge([under_way])
    disk.restart()
    assert data(disk.reader()) == [b"1", b"2"]


def test_what_a_topic_retains_can_be_sought(disk: Disk) -> None:
    disk.create_topic("projects/p/topics/kept", message_retention_duration={"seconds": DAY})
    disk.publish(b"0", topic="projects/p/topics/kept")
    disk.restart()
    disk.subscribe(topic="projects/p/topics/kept")

    disk.seek(0)
    assert data(disk.reader()) == [b"0"]


def test_a_topic_that_retained_nothing_retains_from_now_on(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    acknowledge(disk.reader())
    disk.restart()
    disk.seek(0)

    assert data(disk.reader()) == []


def test_snapshots_outlive_what_they_were_made_of(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    disk.snapshot()
    disk.publish(b"2")
    disk.registry.delete_subscription(SUB)
    config = disk.snapshots.get(SNAPSHOT).config
    disk.restart()
    assert disk.snapshots.get(SNAPSHOT).config == config
    disk.publish(b"3")
    disk.restart()

    disk.subscribe()
    disk.seek_to_snapshot()
    assert data(disk.reader()) == [b"1", b"2", b"3"]


def test_a_snapshot_keeps_its_filter(disk: Disk) -> None:
    disk.subscribe(filter="attributes:kind")
    disk.snapshot()
    disk.restart()
    disk.publish(b"no")
    disk.publish(b"yes", attributes={"kind": ""})
    acknowledge(disk.reader())
    disk.restart()

    disk.seek_to_snapshot()
    assert data(disk.reader()) == [b"yes"]


def test_a_seek_purges_for_good(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1", b"2")
    disk.seek(disk.registry.now() + 1_000_000)
    disk.restart()

    assert data(disk.reader()) == []
    assert disk.count("message") == 0


def test_what_is_deleted_stays_deleted_with_its_messages(disk: Disk) -> None:
    disk.subscribe(retain_acked_messages=True)
    disk.publish(b"1")
    disk.snapshot()
    disk.registry.delete_subscription(SUB)
    disk.snapshots.delete(SNAPSHOT)
    disk.restart()

    with pytest.raises(NotFoundError):
        disk.registry.subscription(SUB)
    with pytest.raises(NotFoundError):
        disk.snapshots.get(SNAPSHOT)
    # What is left is the topic, in two rows.
    assert (disk.count("message"), disk.count("entry"), disk.count("resource")) == (0, 0, 2)


def test_a_name_can_be_used_again_at_once(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    disk.registry.delete_subscription(SUB)
    disk.subscribe()
    disk.publish(b"2")
    disk.restart()

    assert data(disk.reader()) == [b"2"]


def test_a_subscription_outlives_its_topic(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    disk.registry.delete_topic(TOPIC)
    disk.restart()

    assert disk.registry.subscription(SUB).config.topic == names.DELETED_TOPIC
    assert data(disk.reader()) == [b"1"]
    disk.create_topic()
    assert disk.registry.topic(TOPIC).subscriptions == {}


def test_a_detached_subscription_stays_detached(disk: Disk) -> None:
    disk.subscribe()
    disk.publish(b"1")
    disk.registry.detach_subscription(SUB)
    disk.restart()

    with pytest.raises(FailedPreconditionError):
        disk.registry.attached_subscription(SUB)
    disk.publish(b"2")
    disk.commit()
    assert disk.count("message") == 0


def test_a_dead_letter_is_in_one_place_only(disk: Disk) -> None:
    other = "projects/p/topics/dead"
    disk.create_topic(other)
    disk.subscribe("projects/p/subscriptions/dead", topic=other)
    disk.subscribe(dead_letter_policy={"dead_letter_topic": other, "max_delivery_attempts": 5})
    disk.publish(b"1")
    for _ in range(5):
        reader = disk.reader()
        reader.backlog.modify_ack_deadlines([reader.take_one()], [0])
        disk.restart()

    assert data(disk.reader()) == []
    assert data(disk.reader("projects/p/subscriptions/dead")) == [b"1"]


def test_a_message_without_a_subscription_is_not_kept(disk: Disk) -> None:
    disk.publish(b"1")
    disk.commit()

    assert disk.count("message") == 0


def test_progress_is_reported(disk: Disk) -> None:
    disk.subscribe()
    for _ in range(100):
        disk.publish(*[b""] * 1000)
    disk.restart()

    assert "Opening: 100,000 messages …" in disk.lines
    assert disk.registry.subscription(SUB).backlog.waiting == 100_000
