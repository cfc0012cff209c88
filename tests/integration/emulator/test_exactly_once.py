"""Google's own client on a subscription with exactly-once delivery."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus

from .conftest import SOON

Publish = Callable[..., list[str]]


@pytest.fixture
def exactly_once(subscriber: pubsub_v1.SubscriberClient, project: str, topic: str) -> str:
    name = f"projects/{project}/subscriptions/exactly"
    subscriber.create_subscription(
        request={
            "name": name,
            "topic": topic,
            "enable_exactly_once_delivery": True,
            "enable_message_ordering": True,
        }
    )
    return name


@contextmanager
def messages_of(subscriber: Any, name: str) -> Iterator[Callable[[], Any]]:
    """What comes to a callback of the client's."""
    received: queue.Queue[Any] = queue.Queue()
    pull = subscriber.subscribe(name, received.put)
    try:
        yield lambda: received.get(timeout=SOON)
    finally:
        pull.cancel()
        pull.result(SOON)


def status_of(future: Future[AcknowledgeStatus]) -> AcknowledgeStatus:
    try:
        return future.result(SOON)
    except AcknowledgeError as error:
        return error.error_code


def test_acks_and_nacks_are_confirmed(
    subscriber: pubsub_v1.SubscriberClient, exactly_once: str, publish: Publish
) -> None:
    with messages_of(subscriber, exactly_once) as next_message:
        publish(b"a")
        message = next_message()
        assert status_of(message.nack_with_response()) is AcknowledgeStatus.SUCCESS
        again = next_message()

        assert status_of(message.ack_with_response()) is AcknowledgeStatus.INVALID_ACK_ID
        assert status_of(again.modify_ack_deadline_with_response(60)) is AcknowledgeStatus.SUCCESS
        assert status_of(again.ack_with_response()) is AcknowledgeStatus.SUCCESS


def test_keys_keep_their_order(
    subscriber: pubsub_v1.SubscriberClient,
    publisher: pubsub_v1.PublisherClient,
    topic: str,
    exactly_once: str,
) -> None:
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    ordered = pubsub_v1.PublisherClient(publisher_options=options)
    for data in (b"a", b"b", b"c"):
        ordered.publish(topic, data, ordering_key="k").result(SOON)
    ordered.stop()
    ordered.transport.close()

    with messages_of(subscriber, exactly_once) as next_message:
        for data in (b"a", b"b", b"c"):
            message = next_message()
            assert message.data == data
            assert status_of(message.ack_with_response()) is AcknowledgeStatus.SUCCESS
