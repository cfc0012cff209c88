"""StreamingPull itself, without the client library's own leasing and flow control."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1

from .conftest import BareStream

Publish = Callable[..., list[str]]
Stream = Callable[..., BareStream]


def test_the_response_carries_the_properties_of_the_subscription(
    subscriber: pubsub_v1.SubscriberClient,
    project: str,
    topic: str,
    publish: Publish,
) -> None:
    name = f"projects/{project}/subscriptions/special"
    subscriber.create_subscription(
        request={"name": name, "topic": topic, "enable_message_ordering": True}
    )
    publish(b"x")
    requests = iter([{"subscription": name, "stream_ack_deadline_seconds": 10}])

    response = next(iter(subscriber.streaming_pull(requests=requests)))

    assert response.subscription_properties.message_ordering_enabled
    assert not response.subscription_properties.exactly_once_delivery_enabled


def test_many_messages_come_in_one_response_of_less_than_4_mib(
    publish: Publish, stream: Stream
) -> None:
    publish(*[b"x" * 1_000_000] * 9)

    # The stub has gRPC's default limit of 4 MiB.
    assert len(stream().next_data(9)) == 9


def test_no_more_messages_than_the_client_wants(publish: Publish, stream: Stream) -> None:
    publish(*[b"x"] * 10)
    narrow = stream(max_outstanding_messages=3)
    held = [narrow.next() for _ in range(3)]
    wide = stream()
    assert len(wide.next_data(7)) == 7

    narrow.send(ack_ids=[held[0].ack_id])
    wide.half_close()
    wide.status()
    publish(b"next", b"later")

    assert narrow.next().message.data == b"next"
    narrow.send(modify_deadline_ack_ids=[held[1].ack_id], modify_deadline_seconds=[0])
    assert narrow.next().message.data in (b"x", b"later")


def test_no_more_bytes_than_the_client_wants(publish: Publish, stream: Stream) -> None:
    publish(*[b"x" * 1000] * 5)
    narrow = stream(max_outstanding_bytes=3500)
    held = [narrow.next() for _ in range(3)]
    wide = stream()
    assert len(wide.next_data(2)) == 2
    wide.half_close()
    wide.status()

    narrow.send(ack_ids=[each.ack_id for each in held])
    publish(b"y" * 5000)

    assert narrow.next().message.data == b"y" * 5000


def test_a_lease_that_runs_out_is_handed_out_again(publish: Publish, stream: Stream) -> None:
    publish(b"x")
    first = stream()
    lease = first.next()
    first.send(modify_deadline_ack_ids=[lease.ack_id], modify_deadline_seconds=[1])
    began = time.monotonic()

    assert first.next().message.message_id == lease.message.message_id
    assert 0.9 < time.monotonic() - began < 3


def test_the_retry_policy_delays_a_nacked_message(
    subscriber: pubsub_v1.SubscriberClient,
    project: str,
    topic: str,
    publish: Publish,
    stream: Stream,
) -> None:
    name = f"projects/{project}/subscriptions/patient"
    policy = {"minimum_backoff": {"nanos": 300_000_000}, "maximum_backoff": {"seconds": 60}}
    subscriber.create_subscription(request={"name": name, "topic": topic, "retry_policy": policy})
    publish(b"x")
    patient = stream(subscription=name)
    delays = []
    lease = patient.next()
    for _ in range(3):
        patient.send(modify_deadline_ack_ids=[lease.ack_id], modify_deadline_seconds=[0])
        began = time.monotonic()
        lease = patient.next()
        delays.append(time.monotonic() - began)

    assert delays == pytest.approx([0.3, 0.6, 1.2], abs=0.25)


def test_what_a_cancelled_stream_holds_stays_acknowledgeable(
    subscriber: pubsub_v1.SubscriberClient, subscription: str, publish: Publish, stream: Stream
) -> None:
    publish(b"x")
    cancelled = stream()
    lease = cancelled.next()
    cancelled.cancel()
    cancelled.status()
    subscriber.acknowledge(subscription=subscription, ack_ids=[lease.ack_id])
    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[lease.ack_id], ack_deadline_seconds=0
    )
    publish(b"next")

    assert stream().next().message.data == b"next"


@pytest.mark.parametrize("ending", ["cancel", "half_close"])
def test_a_message_published_while_a_stream_closes_reaches_another_at_once(
    publish: Publish, stream: Stream, ending: str
) -> None:
    for number in range(20):
        closing = stream().opened()
        getattr(closing, ending)()
        closing.status()
        publish(str(number).encode())
        other = stream()
        lease = other.next()

        assert lease.message.data == str(number).encode()
        other.send(ack_ids=[lease.ack_id])
        other.half_close()
        other.status()


def test_what_never_reached_a_client_that_confirms_receipt_goes_to_another(
    publish: Publish, stream: Stream
) -> None:
    publish(b"confirmed", b"lost")
    closing = stream()
    lease = closing.next()
    closing.next()
    closing.send(modify_deadline_ack_ids=[lease.ack_id], modify_deadline_seconds=[60])
    closing.half_close()
    closing.status()

    assert stream().next().message.data == b"lost"


def test_a_half_closed_stream_ends_well(stream: Stream) -> None:
    closing = stream().opened()
    closing.half_close()

    assert closing.status() == (grpc.StatusCode.OK, "")


@pytest.mark.parametrize(
    ("first", "text"),
    [
        ({"subscription": ""}, "subscription must be set in the first request."),
        ({"subscription": "x"}, "Invalid resource name given (name=x): subscription must be"),
        ({"stream_ack_deadline_seconds": 0}, "stream_ack_deadline_seconds must be from 10 to 600"),
        ({"stream_ack_deadline_seconds": 601}, "stream_ack_deadline_seconds must be from 10"),
        ({"ack_ids": ["garbage"]}, "Invalid ack id (ack_id=garbage)."),
    ],
)
def test_a_wrong_first_request_is_refused(stream: Stream, first: dict[str, Any], text: str) -> None:
    code, details = stream(**first).status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text in details


@pytest.mark.parametrize(
    ("later", "text"),
    [
        ({"subscription": "x"}, "subscription may only be set in the first request."),
        ({"max_outstanding_messages": 5}, "max_outstanding_messages may only be set in the first"),
        ({"max_outstanding_bytes": 5}, "max_outstanding_bytes may only be set in the first"),
        ({"stream_ack_deadline_seconds": 5}, "stream_ack_deadline_seconds must be from 10 to 600"),
        ({"ack_ids": ["garbage"]}, "Invalid ack id (ack_id=garbage)."),
        ({"modify_deadline_ack_ids": ["x"]}, "modify_deadline_seconds must have as many values"),
        (
            {"modify_deadline_ack_ids": ["x"], "modify_deadline_seconds": [601]},
            "modify_deadline_seconds must be from 0 to 600, got 601.",
        ),
    ],
)
def test_a_wrong_later_request_ends_the_stream(
    stream: Stream, later: dict[str, Any], text: str
) -> None:
    wrong = stream().opened()
    wrong.send()
    wrong.send(stream_ack_deadline_seconds=30)
    wrong.send(**later)
    code, details = wrong.status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text in details
