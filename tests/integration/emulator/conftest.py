"""Google's own client, led to a server of ours by the environment."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1 import types

from rele.emulator import EmbeddedServer

SOON = 10
"""Seconds within which everything that is waited for has to happen."""


class BareStream:
    """A StreamingPull without the client library's leasing: what is sent is what is asked for."""

    def __init__(self, address: str, **first: Any) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.send(**{"stream_ack_deadline_seconds": 60, **first})
        method = self._channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=types.StreamingPullRequest.serialize,
            response_deserializer=types.StreamingPullResponse.deserialize,
        )
        self._call = method(iter(self._requests.get, None))
        self._received: queue.Queue[Any] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def opened(self) -> BareStream:
        """Wait until the server has accepted the stream."""
        self._call.initial_metadata()
        return self

    def send(self, **request: Any) -> None:
        self._requests.put(types.StreamingPullRequest(**request))

    def next(self) -> types.ReceivedMessage:
        return self._received.get(timeout=SOON)

    def next_data(self, number: int) -> list[bytes]:
        return [self.next().message.data for _ in range(number)]

    def half_close(self) -> None:
        self._requests.put(None)

    def cancel(self) -> None:
        self._call.cancel()

    def status(self) -> tuple[grpc.StatusCode, str]:
        """Wait for the end of the stream."""
        self._reader.join(SOON)
        return self._call.code(), self._call.details()

    def close(self) -> None:
        self.cancel()
        self.half_close()
        self._reader.join(SOON)
        self._channel.close()

    def _read(self) -> None:
        try:
            for response in self._call:
                for received in response.received_messages:
                    self._received.put(received)
        except grpc.RpcError:
            pass  # `status` tells.


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
