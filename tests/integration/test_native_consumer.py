"""Relé's own consumer against a Pub/Sub server."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import pubsub_v1

from rele.engine.connection import Connection
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine

PROJECT = "rele"


@pytest.fixture
def name() -> str:
    """Of a topic and its subscription; the server is shared by all tests."""
    return f"orders-{uuid.uuid4().hex}"


@pytest.fixture
def engine(pubsub: str) -> Iterator[PullEngine]:
    engine = PullEngine(Connection(PROJECT))
    yield engine
    engine.close()


@pytest.fixture
def publish(pubsub: str, name: str) -> Iterator[Callable[..., None]]:
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    with pubsub_v1.PublisherClient(publisher_options=options) as publisher:
        path = publisher.topic_path(PROJECT, name)
        publisher.create_topic(name=path)
        with pubsub_v1.SubscriberClient() as subscriber:
            subscriber.create_subscription(
                request={
                    "name": subscriber.subscription_path(PROJECT, name),
                    "topic": path,
                    "ack_deadline_seconds": 10,
                    "enable_message_ordering": True,
                }
            )
        yield lambda data, key="": publisher.publish(path, data, ordering_key=key).result(10)


class Handled:
    """What the callback has received."""

    def __init__(self, handle: Callable[[Any], object] = lambda message: message.ack()) -> None:
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._handle = handle

    def __call__(self, message: Any) -> None:
        self.messages.put(message)
        self._handle(message)

    def take(self, number: int) -> list[bytes]:
        return [self.messages.get(timeout=30).data for _ in range(number)]


Consume = Callable[..., NativeConsumer]


@pytest.fixture
def consume(engine: PullEngine, name: str) -> Consume:
    """Begin to consume with a callback."""

    def begin(handled: Handled, threads: int = 2) -> NativeConsumer:
        consumer = engine.consumer(name, handled, ConsumerOptions(threads), lambda: True)
        consumer.open()
        return consumer

    return begin


def end(consumer: NativeConsumer, seconds: float = 10) -> int:
    consumer.drain(time.monotonic() + seconds)
    return consumer.join(time.monotonic() + seconds)


def test_messages_are_handled_and_acked(consume: Consume, publish: Callable[..., None]) -> None:
    handled = Handled()
    consumer = consume(handled)
    for number in range(50):
        publish(b"%d" % number)

    assert sorted(map(int, handled.take(50))) == list(range(50))
    assert end(consumer) == 0
    again = consume(handled)
    publish(b"last")
    assert handled.take(1) == [b"last"], "nothing that was acked is redelivered"
    end(again)


def test_a_nacked_message_is_redelivered(consume: Consume, publish: Callable[..., None]) -> None:
    attempts: list[None] = []

    def handle(message: Any) -> None:
        attempts.append(None)
        message.nack() if len(attempts) == 1 else message.ack()

    handled = Handled(handle)
    consumer = consume(handled)
    publish(b"1")

    assert handled.take(2) == [b"1", b"1"]
    end(consumer)


def test_the_messages_of_a_key_keep_their_order_also_where_one_fails(
    consume: Consume, publish: Callable[..., None]
) -> None:
    acked: list[bytes] = []
    failed: list[None] = []
    done = threading.Event()

    def handle(message: Any) -> None:
        if not failed:
            failed.append(None)
            message.nack()
            return
        acked.append(message.data)
        message.ack()
        if len(acked) == 6:
            done.set()

    for number in range(6):
        publish(b"%d" % number, "key")
    consumer = consume(Handled(handle), threads=4)

    assert done.wait(60)
    assert acked == [b"0", b"1", b"2", b"3", b"4", b"5"]
    end(consumer)


def test_a_drain_waits_for_handlers_and_nacks_what_waits(
    consume: Consume, publish: Callable[..., None]
) -> None:
    may_end = threading.Event()

    def handle(message: Any) -> None:
        may_end.wait(30)
        message.ack()

    handled = Handled(handle)
    consumer = consume(handled, threads=2)
    for number in range(5):
        publish(b"%d" % number)
    begun = handled.take(2)
    consumer.drain(time.monotonic() + 20)
    others = Handled()
    other = consume(others)
    assert len(others.take(3)) == 3, "what was not begun is redelivered before its lease ends"
    may_end.set()

    assert consumer.join(time.monotonic() + 20) == 0
    assert len(begun) == 2
    end(other)


def test_a_handler_that_takes_too_long_is_counted(
    consume: Consume, publish: Callable[..., None]
) -> None:
    may_end = threading.Event()
    handled = Handled(lambda message: may_end.wait(30))
    consumer = consume(handled)
    publish(b"1")
    handled.take(1)

    assert end(consumer, 0.2) == 1
    may_end.set()


@pytest.mark.slow
def test_a_long_handler_keeps_its_lease(consume: Consume, publish: Callable[..., None]) -> None:
    """Longer than the subscription's ack deadline of 10 s."""
    handled = Handled(lambda message: (time.sleep(12), message.ack()))
    consumer = consume(handled)
    publish(b"1")
    handled.take(1)
    publish(b"2")
    handled.take(1)
    assert end(consumer, 20) == 0
    again = consume(handled)
    publish(b"3")

    assert handled.take(1) == [b"3"]
    end(again)
