"""Google's high-level client: publish, subscribe, acknowledge."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from .conftest import SOON

Publish = Callable[..., list[str]]


@pytest.fixture
def subscribe(subscriber: pubsub_v1.SubscriberClient, subscription: str) -> Any:
    """Subscribe with a callback; the streams are cancelled when the test ends."""
    futures = []

    def subscribe(callback: Callable[[Any], None], **options: Any) -> Any:
        futures.append(subscriber.subscribe(subscription, callback, **options))
        return futures[-1]

    yield subscribe
    for future in futures:
        future.cancel()
        future.exception(SOON)


def test_a_published_message_arrives_as_it_was_sent(
    publisher: pubsub_v1.PublisherClient, topic: str, subscribe: Any
) -> None:
    received: queue.Queue[Any] = queue.Queue()
    subscribe(lambda message: (message.ack(), received.put(message)))
    message_id = publisher.publish(topic, "é".encode(), kind="order", size="3").result(SOON)

    message = received.get(timeout=SOON)
    assert message.message_id == message_id
    assert message.data == "é".encode()
    assert dict(message.attributes) == {"kind": "order", "size": "3"}
    assert message.publish_time.timestamp() > 1_700_000_000
    assert message.delivery_attempt is None


def test_every_message_arrives_once(publish: Publish, subscribe: Any) -> None:
    received: queue.Queue[bytes] = queue.Queue()
    subscribe(lambda message: (received.put(message.data), message.ack()))
    sent = [str(number).encode() for number in range(3000)]
    publish(*sent)

    assert sorted(received.get(timeout=SOON) for _ in sent) == sorted(sent)
    assert received.empty()


def test_a_nacked_message_is_redelivered_at_once(publish: Publish, subscribe: Any) -> None:
    ids: queue.Queue[str] = queue.Queue()
    attempts = iter(range(1, 4))

    def callback(message: Any) -> None:
        ids.put(message.message_id)
        message.ack() if next(attempts) == 3 else message.nack()

    subscribe(callback)
    (message_id,) = publish(b"x")

    assert [ids.get(timeout=SOON) for _ in range(3)] == [message_id] * 3


def test_several_subscribers_share_a_subscription(publish: Publish, subscribe: Any) -> None:
    received: queue.Queue[str] = queue.Queue()
    subscribe(lambda message: (message.ack(), received.put("first")))
    subscribe(lambda message: (message.ack(), received.put("second")))
    turns = set()
    # One that is not connected yet gets nothing: it is the first turns that may be lopsided.
    for _ in range(1000):
        publish(b"x")
        turns.add(received.get(timeout=SOON))
        if len(turns) == 2:
            break

    assert turns == {"first", "second"}
    assert received.empty()


def test_handlers_that_run_when_the_stream_is_closed_can_still_acknowledge(
    publish: Publish,
    subscribe: Any,
    subscriber: pubsub_v1.SubscriberClient,
    subscription: str,
) -> None:
    running: queue.Queue[Any] = queue.Queue()
    future = subscribe(running.put)
    publish(b"x")
    message = running.get(timeout=SOON)
    future.cancel()
    future.result(SOON)
    subscriber.acknowledge(subscription=subscription, ack_ids=[message.ack_id])

    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[message.ack_id], ack_deadline_seconds=0
    )
    publish(b"next")

    response = subscriber.pull(subscription=subscription, max_messages=10)
    assert [each.message.data for each in response.received_messages] == [b"next"]


def test_deleting_the_subscription_ends_its_streams(
    subscribe: Any, subscriber: pubsub_v1.SubscriberClient, subscription: str, publish: Publish
) -> None:
    received: queue.Queue[Any] = queue.Queue()
    future = subscribe(lambda message: (message.ack(), received.put(message)))
    publish(b"x")
    received.get(timeout=SOON)
    subscriber.delete_subscription(subscription=subscription)

    with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=orders\)\."):
        future.result(SOON)


def test_subscribing_to_a_missing_subscription_is_not_found(
    subscriber: pubsub_v1.SubscriberClient, project: str
) -> None:
    future = subscriber.subscribe(f"projects/{project}/subscriptions/missing", print)

    with pytest.raises(exceptions.NotFound, match=r"Resource not found \(resource=missing\)\."):
        future.result(SOON)
