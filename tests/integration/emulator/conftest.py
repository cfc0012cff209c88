"""Google's own client, led to a server of ours by the environment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import pubsub_v1

from rele.emulator import EmbeddedServer
from tests.support.streams import SOON, BareStream

__all__ = ["SOON", "BareStream"]


@pytest.fixture(scope="session")
def emulator() -> Iterator[str]:
    with EmbeddedServer() as server:
        yield server.address


@pytest.fixture
def project() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def publisher(
    emulator: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pubsub_v1.PublisherClient]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)
    client = pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_latency=0.001))
    yield client
    client.stop()
    client.transport.close()


@pytest.fixture
def subscriber(
    emulator: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pubsub_v1.SubscriberClient]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", emulator)
    with pubsub_v1.SubscriberClient() as client:
        yield client


@pytest.fixture
def topic(publisher: pubsub_v1.PublisherClient, project: str) -> str:
    name = f"projects/{project}/topics/orders"
    publisher.create_topic(name=name)
    return name


@pytest.fixture
def subscription(subscriber: pubsub_v1.SubscriberClient, project: str, topic: str) -> str:
    name = f"projects/{project}/subscriptions/orders"
    subscriber.create_subscription(name=name, topic=topic)
    return name


@pytest.fixture
def publish(publisher: pubsub_v1.PublisherClient, topic: str) -> Callable[..., list[str]]:
    """Publish, and return the message ids."""

    def publish(*data: bytes) -> list[str]:
        futures = [publisher.publish(topic, each) for each in data]
        return [future.result(SOON) for future in futures]

    return publish


@pytest.fixture
def stream(emulator: str, subscription: str) -> Iterator[Callable[..., BareStream]]:
    """Open bare streams on the subscription, unless the first request says otherwise."""
    opened: list[BareStream] = []

    def stream(**first: Any) -> BareStream:
        opened.append(BareStream(emulator, **{"subscription": subscription, **first}))
        return opened[-1]

    yield stream
    for each in opened:
        each.close()
