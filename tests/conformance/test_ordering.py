"""Ordering keys ("Order messages")."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import pytest

from .conftest import Service, data_of

MakeSubscription = Callable[..., str]
FIVE = [b"0", b"1", b"2", b"3", b"4"]


@pytest.fixture
def sub(make_subscription: MakeSubscription) -> str:
    return make_subscription(enable_message_ordering=True)


def test_the_messages_of_a_key_come_in_order(service: Service, topic: str, sub: str) -> None:
    keys = ("a", "b", "c")
    for number in range(100):
        for key in keys:
            service.publish_keyed(topic, key, b"%d" % number)
    stream = service.stream(sub)
    got: dict[str, list[bytes]] = {key: [] for key in keys}
    for _ in range(300):
        received = stream.next()
        got[received.message.ordering_key].append(received.message.data)
        stream.send(ack_ids=[received.ack_id])

    assert got == {key: [b"%d" % number for number in range(100)] for key in keys}


def test_a_pull_waits_for_the_outstanding_ones_of_a_key(
    service: Service, topic: str, sub: str
) -> None:
    service.publish_keyed(topic, "k", *FIVE)
    first = service.pull(sub)
    assert data_of(first) == FIVE[:1]
    assert service.pull_now(sub) == []

    service.ack(sub, *first)
    assert data_of(service.pull(sub, 4)) == FIVE[1:]


def test_a_stream_gets_a_key_in_order_before_any_ack(
    service: Service, topic: str, sub: str
) -> None:
    service.publish_keyed(topic, "k", *FIVE)

    assert service.stream(sub).next_data(5) == FIVE


def test_other_keys_go_on(service: Service, topic: str, sub: str) -> None:
    service.publish_keyed(topic, "a", b"a1", b"a2")
    assert data_of(service.pull(sub)) == [b"a1"]
    service.publish_keyed(topic, "b", b"b1")
    service.publish(topic, b"none")

    assert sorted(data_of(service.pull(sub, 2))) == [b"b1", b"none"]


@pytest.mark.google_differs("only the message that was nacked is redelivered")
def test_a_nack_redelivers_the_later_ones_of_the_key_too(
    service: Service, topic: str, sub: str
) -> None:
    service.publish_keyed(topic, "k", *FIVE)
    stream = service.stream(sub)
    received = [stream.next() for _ in FIVE]
    stream.send(ack_ids=[received[0].ack_id])
    stream.send(modify_deadline_ack_ids=[received[1].ack_id], modify_deadline_seconds=[0])

    assert data_of(stream.received(timeout=1)) == FIVE[1:]


@pytest.mark.google_differs("acknowledged ones are not redelivered")
def test_acknowledged_ones_are_redelivered_after_a_nacked_one(
    service: Service, topic: str, sub: str
) -> None:
    service.publish_keyed(topic, "k", *FIVE)
    received = service.pull(sub, 5)
    service.ack(sub, *received[:1], *received[2:])
    service.nack(sub, received[1])

    assert data_of(service.pull(sub, 4, within=2)) == FIVE[1:]


def test_without_ordering_the_key_is_kept_on_the_message(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    for number in range(20):
        service.publish_keyed(topic, "k", b"%d" % number)
    received = service.pull(name, 20)

    assert [key for key, _ in groupby(each.message.ordering_key for each in received)] == ["k"]
    assert sorted(map(int, data_of(received))) == list(range(20))
