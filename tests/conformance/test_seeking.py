"""Seek and snapshots ("Replay and purge messages with seek")."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]
DAY = timedelta(days=1)


def ago(**duration: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(**duration)


def consume(service: Service, name: str, number: int) -> list[bytes]:
    """Take and acknowledge so many messages."""
    received = service.pull(name, number)
    service.ack(name, *received)
    return data_of(received)


class TestSeekToTime:
    def test_retained_messages_are_replayed(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(retain_acked_messages=True)
        service.publish(topic, b"a", b"b", b"c")
        consume(service, name, 3)
        service.call("Seek", subscription=name, time=ago(hours=1))

        assert sorted(data_of(service.pull(name, 3))) == [b"a", b"b", b"c"]

    def test_others_are_not(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"a")
        consume(service, name, 1)
        service.publish(topic, b"b")
        service.call("Seek", subscription=name, time=ago(hours=1))

        assert data_of(service.pull(name)) == [b"b"]
        assert service.pull_now(name) == []

    def test_the_topic_may_retain_them(self, service: Service) -> None:
        topic = service.topic("keeps", message_retention_duration=timedelta(hours=1))
        name = service.subscription(topic)
        service.publish(topic, b"a", b"b")
        consume(service, name, 2)
        late = service.subscription(topic, "late")
        for each in (name, late):
            service.call("Seek", subscription=each, time=ago(minutes=30))

        assert sorted(data_of(service.pull(name, 2))) == [b"a", b"b"]
        assert sorted(data_of(service.pull(late, 2))) == [b"a", b"b"]

    def test_the_future_purges_what_is_there(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"out", b"waits")
        (out,) = service.pull(name)
        service.call("Seek", subscription=name, time=ago(hours=-1))
        service.nack(name, out)
        assert service.pull_now(name) == []

        service.publish(topic, b"new")
        assert data_of(service.pull(name)) == [b"new"]

    def test_what_is_outstanding_is_available_at_once(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(ack_deadline_seconds=600)
        service.publish(topic, b"a")
        service.pull(name)
        service.call("Seek", subscription=name, time=ago(hours=1))

        assert data_of(service.pull(name)) == [b"a"]

    def test_an_ack_that_was_under_way_loses_no_replay(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(retain_acked_messages=True)
        service.publish(topic, b"a")
        (under_way,) = service.pull(name)
        service.call("Seek", subscription=name, time=ago(hours=1))
        service.ack(name, under_way)

        assert data_of(service.pull(name)) == [b"a"]

    def test_with_exactly_once_delivery_ack_ids_from_before_are_refused(
        self, service: Service, topic: str, make_subscription: MakeSubscription
    ) -> None:
        name = make_subscription(enable_exactly_once_delivery=True)
        service.publish(topic, b"a")
        (under_way,) = service.pull(name)
        service.call("Seek", subscription=name, time=ago(hours=1))

        with refused("INVALID_ARGUMENT"):
            service.ack(name, under_way)
        assert data_of(service.pull(name)) == [b"a"]

    def test_a_target_is_needed(
        self, service: Service, make_subscription: MakeSubscription
    ) -> None:
        with refused("INVALID_ARGUMENT"):
            service.call("Seek", subscription=make_subscription())
        with refused("NOT_FOUND"):
            service.call("Seek", subscription=f"{service.project}/subscriptions/none", time=ago())


class TestSnapshots:
    @pytest.fixture
    def name(self, service: Service) -> str:
        return f"{service.project}/snapshots/snap"

    @pytest.fixture
    def sub(self, make_subscription: MakeSubscription) -> str:
        return make_subscription()

    def test_a_seek_replays_what_was_unacknowledged_and_what_came_after(
        self, service: Service, topic: str, sub: str, name: str
    ) -> None:
        service.publish(topic, b"a", b"b")
        received = service.pull(sub, 2)
        service.ack(sub, received[0])
        service.call("CreateSnapshot", name=name, subscription=sub)
        service.ack(sub, received[1])
        service.publish(topic, b"c")
        consume(service, sub, 1)
        service.call("Seek", subscription=sub, snapshot=name)

        assert sorted(data_of(service.pull(sub, 2))) == [received[1].message.data, b"c"]

    def test_create_get_list_and_delete(
        self, service: Service, topic: str, sub: str, name: str
    ) -> None:
        created = service.call("CreateSnapshot", name=name, subscription=sub)
        assert (created.name, created.topic) == (name, topic)
        remaining = created.expire_time.timestamp() - time.time()
        assert 6.9 * DAY.total_seconds() < remaining <= 7 * DAY.total_seconds()
        assert service.call("GetSnapshot", snapshot=name) == created
        listed = service.call("ListSnapshots", project=service.project)
        assert [each.name for each in listed.snapshots] == [name]
        assert list(service.call("ListTopicSnapshots", topic=topic).snapshots) == [name]

        service.call("DeleteSnapshot", snapshot=name)
        assert list(service.call("ListSnapshots", project=service.project).snapshots) == []

    def test_missing_and_duplicate_ones(self, service: Service, sub: str, name: str) -> None:
        for method in ("GetSnapshot", "DeleteSnapshot"):
            with refused("NOT_FOUND"):
                service.call(method, snapshot=name)
        with refused("NOT_FOUND"):
            service.call("Seek", subscription=sub, snapshot=name)
        with refused("NOT_FOUND"):
            service.call("CreateSnapshot", name=name, subscription=f"{sub}-none")
        service.call("CreateSnapshot", name=name, subscription=sub)
        with refused("ALREADY_EXISTS"):
            service.call("CreateSnapshot", name=name, subscription=sub)

    def test_a_malformed_name(self, service: Service, sub: str) -> None:
        with refused("INVALID_ARGUMENT"):
            service.call("CreateSnapshot", name=f"{service.project}/snapshots/1a", subscription=sub)

    @pytest.mark.google_differs("UpdateSnapshot is unimplemented")
    def test_update(self, service: Service, sub: str, name: str) -> None:
        service.call("CreateSnapshot", name=name, subscription=sub, labels={"a": "1"})
        updated = service.call(
            "UpdateSnapshot",
            snapshot={"name": name, "labels": {"b": "2"}},
            update_mask={"paths": ["labels"]},
        )

        assert dict(updated.labels) == {"b": "2"}
        assert service.call("GetSnapshot", snapshot=name) == updated
