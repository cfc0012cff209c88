"""Attributes whose names Google's client takes for its own arguments, on a real server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from google.cloud import pubsub_v1

import rele
from rele.config import Config
from rele.messages.limits import MAX_REQUEST_BYTES, request_size
from rele.middleware import BaseMiddleware
from tests.support.in_use import register

pytestmark = pytest.mark.both_engines

NAMES = ("self", "topic", "data", "retry", "timeout")
ATTRIBUTES = {name: f"my {name}" for name in NAMES}


class Pulled:
    """A subscription, and the messages that it got."""

    def __init__(self, project_id: str) -> None:
        with pubsub_v1.PublisherClient() as publisher:
            topic = publisher.topic_path(project_id, "news")
            publisher.create_topic(request={"name": topic})
        self._client = pubsub_v1.SubscriberClient()
        self._path = self._client.subscription_path(project_id, "news")
        self._client.create_subscription(
            request={"name": self._path, "topic": topic, "enable_message_ordering": True}
        )

    def take(self, count: int) -> list[Any]:
        messages: list[Any] = []
        while len(messages) < count:
            response = self._client.pull(
                request={"subscription": self._path, "max_messages": count}, timeout=10
            )
            ack_ids = [received.ack_id for received in response.received_messages]
            if ack_ids:
                self._client.acknowledge(request={"subscription": self._path, "ack_ids": ack_ids})
            messages += [received.message for received in response.received_messages]
        return messages

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def pulled(configure: Callable[..., Config], project_id: str) -> Any:
    configure()
    pulled = Pulled(project_id)
    yield pulled
    pulled.close()


def test_they_arrive_by_publish_many_with_an_ordering_key_and_without(pulled: Pulled) -> None:
    rele.publish_many(
        "news",
        [(1, ATTRIBUTES), (2, {"lang": "es"}), (3, {**ATTRIBUTES, "ordering_key": "k"})],
        blocking=True,
        timeout=20,
    )

    messages = {bytes(message.data): message for message in pulled.take(3)}
    assert without_time(messages[b"1"]) == ATTRIBUTES
    assert without_time(messages[b"2"]) == {"lang": "es"}
    assert without_time(messages[b"3"]) == ATTRIBUTES
    assert messages[b"3"].ordering_key == "k"


def test_they_arrive_by_publish_but_for_those_that_are_its_own_arguments(pulled: Pulled) -> None:
    rele.publish("news", 1, blocking=True, timeout=20, retry="no", self="me")

    [message] = pulled.take(1)
    assert without_time(message) == {"retry": "no", "self": "me"}


class AddsNames(BaseMiddleware):
    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        attrs.update(ATTRIBUTES, ordering_key="k")


def test_they_arrive_from_a_hook_which_may_give_the_ordering_key_too(
    pulled: Pulled,
) -> None:
    register(AddsNames())

    rele.publish("news", 1, blocking=True, timeout=20)

    [message] = pulled.take(1)
    assert without_time(message) == ATTRIBUTES
    assert message.ordering_key == "k"


def without_time(message: pubsub_v1.types.PubsubMessage) -> dict[str, str]:
    attributes = dict(message.attributes)
    del attributes["published_at"]
    return attributes


@pytest.mark.parametrize("ordering_key", ["", "k"])
def test_the_largest_message_with_them_is_accepted(pulled: Pulled, ordering_key: str) -> None:
    """Google's client would refuse a larger one, and send nothing more of its ordering key."""
    published = {**ATTRIBUTES, "published_at": str(time.time())}
    size = MAX_REQUEST_BYTES - request_size("news", b"", published, ordering_key)
    # Two bytes are the quotes; the others say how long the data and the message are.
    data = "x" * (size - 2 - 10)

    largest = (data, {**ATTRIBUTES, "ordering_key": ordering_key})
    next_one = ("next", {"ordering_key": ordering_key})
    for message in (largest, next_one):
        rele.publish_many("news", [message], blocking=True, timeout=20)
