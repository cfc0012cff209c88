"""Exactly-once delivery ("Exactly-once delivery")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from .conftest import Service, data_of

MakeSubscription = Callable[..., str]
SHORTLY = 2
INVALID = "PERMANENT_FAILURE_INVALID_ACK_ID"


@pytest.fixture
def sub(make_subscription: MakeSubscription) -> str:
    return make_subscription(enable_exactly_once_delivery=True)


def failures(call: Callable[..., None], *args: Any) -> dict[str, str]:
    """What the ``ErrorInfo`` says of the ack ids of a unary call that is refused."""
    with pytest.raises(grpc.RpcError) as raised:
        call(*args)
    status = rpc_status.from_call(raised.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "EXACTLY_ONCE_ACKID_FAILURE"
    return dict(info.metadata)


def test_an_ack_id_is_good_once(service: Service, topic: str, sub: str) -> None:
    service.publish(topic, b"a")
    (received,) = service.pull(sub)
    service.ack(sub, received)

    assert failures(service.ack, sub, received) == {received.ack_id: INVALID}
    assert failures(service.modack, sub, 20, received) == {received.ack_id: INVALID}


def test_the_good_ones_of_a_request_count(service: Service, topic: str, sub: str) -> None:
    service.publish(topic, b"a", b"b")
    first, second = service.pull(sub, 2)
    service.nack(sub, first)
    (again,) = service.pull(sub)

    assert failures(service.ack, sub, first, second) == {first.ack_id: INVALID}
    service.ack(sub, again)
    assert failures(service.ack, sub, second) == {second.ack_id: INVALID}


@pytest.mark.google_differs("acks on the stream are not confirmed")
def test_acks_on_the_stream_are_confirmed(service: Service, topic: str, sub: str) -> None:
    service.publish(topic, b"a")
    stream = service.stream(sub, protocol_version=1)
    received = stream.next()
    stream.send(ack_ids=[received.ack_id])
    assert list(stream.confirmation("acknowledge", SHORTLY).ack_ids) == [received.ack_id]

    stream.send(ack_ids=[received.ack_id, "garbage"])
    confirmation = stream.confirmation("acknowledge", SHORTLY)
    assert sorted(confirmation.invalid_ack_ids) == sorted([received.ack_id, "garbage"])
    assert list(confirmation.ack_ids) == []


@pytest.mark.google_differs("extensions on the stream are not confirmed")
def test_extensions_on_the_stream_are_confirmed(service: Service, topic: str, sub: str) -> None:
    service.publish(topic, b"a")
    stream = service.stream(sub, protocol_version=1)
    received = stream.next()
    for seconds in (20, 0):
        stream.send(modify_deadline_ack_ids=[received.ack_id], modify_deadline_seconds=[seconds])
        confirmation = stream.confirmation("modify_ack_deadline", SHORTLY)
        assert list(confirmation.ack_ids) == [received.ack_id]
    stream.send(modify_deadline_ack_ids=[received.ack_id], modify_deadline_seconds=[20])

    confirmation = stream.confirmation("modify_ack_deadline", SHORTLY)
    assert list(confirmation.invalid_ack_ids) == [received.ack_id]


@pytest.mark.google_differs("acks on the stream are not confirmed")
def test_acks_of_a_key_are_taken_in_order(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    sub = make_subscription(enable_exactly_once_delivery=True, enable_message_ordering=True)
    service.publish_keyed(topic, "k", b"a", b"b")
    stream = service.stream(sub, protocol_version=1)
    first, second = stream.next(), stream.next()
    stream.send(ack_ids=[second.ack_id])
    assert list(stream.confirmation("acknowledge", SHORTLY).unordered_ack_ids) == [second.ack_id]

    stream.send(ack_ids=[first.ack_id])
    stream.send(ack_ids=[second.ack_id])
    done: list[str] = []
    while len(done) < 2:
        done += stream.confirmation("acknowledge", SHORTLY).ack_ids
    assert done == [first.ack_id, second.ack_id]


def test_a_stream_carries_the_properties_of_its_subscription(
    service: Service, topic: str, make_subscription: MakeSubscription, sub: str
) -> None:
    ordered = make_subscription("ordered", enable_message_ordering=True)
    service.publish(topic, b"a")

    seen = []
    for name in (sub, ordered):
        stream = service.stream(name)
        stream.next()
        properties = stream.properties
        seen.append((properties.exactly_once_delivery_enabled, properties.message_ordering_enabled))
    assert seen == [(True, False), (False, True)]


def test_what_is_outstanding_is_not_redelivered(service: Service, topic: str, sub: str) -> None:
    service.publish(topic, b"a")
    service.pull(sub)

    assert data_of(service.pull_now(sub)) == []
