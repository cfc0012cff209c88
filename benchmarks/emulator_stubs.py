"""Pub/Sub on bare gRPC stubs: what a client costs that does as little as it can."""

from __future__ import annotations

import contextlib
import queue
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
from google.pubsub_v1 import types

PublishRequest = types.PublishRequest.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()

MESSAGE_BYTES = 200

PROJECT = "projects/benchmark"


class Stubs:
    """The RPCs of the server at ``address`` (``HOST:PORT``) by bytes."""

    def __init__(self, address: str) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
        ]
        self.channel = grpc.insecure_channel(address, options=options)
        self._publish: Any = self.channel.unary_unary("/google.pubsub.v1.Publisher/Publish")

    def call(self, method: str, request: Any) -> None:
        """Call ``SERVICE/METHOD`` with a message of the client library."""
        stub: Any = self.channel.unary_unary(f"/google.pubsub.v1.{method}")
        stub(type(request).serialize(request), timeout=60)

    def publish(self, payload: bytes) -> None:
        """Send a serialised ``PublishRequest``."""
        self._publish(payload, timeout=60)

    def stream(self, subscription: str) -> Stream:
        """Open a StreamingPull that takes all it can get."""
        return Stream(self.channel, subscription)


class Stream:
    """A StreamingPull: iterate over lists of ack ids, one for each response."""

    def __init__(self, channel: grpc.Channel, subscription: str) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._send(subscription=subscription, stream_ack_deadline_seconds=60)
        method: Any = channel.stream_stream("/google.pubsub.v1.Subscriber/StreamingPull")
        self._call = method(iter(self._requests.get, None))

    def __iter__(self) -> Iterator[list[str]]:
        for payload in self._call:
            response = StreamingPullResponse.FromString(payload)
            if response.received_messages:
                yield [received.ack_id for received in response.received_messages]

    def acknowledge(self, ack_ids: list[str]) -> None:
        self._send(ack_ids=ack_ids)

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()

    def _send(self, **fields: Any) -> None:
        self._requests.put(StreamingPullRequest(**fields).SerializeToString())


@contextlib.contextmanager
def stubs(address: str) -> Iterator[Stubs]:
    """Stubs whose connection is closed in the end."""
    opened = Stubs(address)
    with opened.channel:
        yield opened


@contextlib.contextmanager
def resources(of: Stubs, *, subscribed: bool = True) -> Iterator[tuple[str, str]]:
    """A new topic and, if ``subscribed``, a subscription of it; deleted in the end."""
    name = uuid.uuid4().hex[:12]
    topic, subscription = f"{PROJECT}/topics/t-{name}", f"{PROJECT}/subscriptions/s-{name}"
    of.call("Publisher/CreateTopic", types.Topic(name=topic))
    if subscribed:
        request = types.Subscription(name=subscription, topic=topic, ack_deadline_seconds=60)
        of.call("Subscriber/CreateSubscription", request)
    yield topic, subscription
    if subscribed:
        deletion = types.DeleteSubscriptionRequest(subscription=subscription)
        of.call("Subscriber/DeleteSubscription", deletion)
    of.call("Publisher/DeleteTopic", types.DeleteTopicRequest(topic=topic))


def batch(topic: str, number: int) -> bytes:
    """A serialised request to publish so many messages."""
    request = PublishRequest(topic=topic)
    for _ in range(number):
        request.messages.add(data=b"x" * MESSAGE_BYTES)
    encoded: bytes = request.SerializeToString()
    return encoded


def fill(of: Stubs, topic: str, number: int) -> None:
    """Publish so many messages, a thousand at a time."""
    payload = batch(topic, 1000)
    for _ in range(number // 1000):
        of.publish(payload)


def drain(of: Stubs, subscription: str, number: int) -> None:
    """Receive and acknowledge at least so many messages by one stream."""
    stream = of.stream(subscription)
    left = number
    for ack_ids in stream:
        stream.acknowledge(ack_ids)
        left -= len(ack_ids)
        if left <= 0:
            break
    stream.close()
