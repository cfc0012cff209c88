"""Handlers of batches against a Pub/Sub server."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud import pubsub_v1

from rele import Batch, BatchMessage, Callback, PartialFailure, Subscription
from rele.engine.connection import Connection
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine
from rele.handling.settlement import SettlementPolicy
from tests.support.inbox import Inbox

PROJECT = "rele"

Publish = Callable[..., None]
Consume = Callable[..., NativeConsumer]


@pytest.fixture
def name() -> str:
    """Of a topic and its subscription; the server is shared by all tests."""
    return f"orders-{uuid.uuid4().hex}"


@pytest.fixture
def publish(
    pubsub: str, name: str, is_exactly_once: bool, is_ordered: bool, max_attempts: int | None
) -> Iterator[Publish]:
    """Publish one message for each of the data."""
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    with pubsub_v1.PublisherClient(publisher_options=options) as publisher:
        path = publisher.topic_path(PROJECT, name)
        dead_letters = publisher.topic_path(PROJECT, f"{name}-dead-letter")
        policy = {"dead_letter_topic": dead_letters, "max_delivery_attempts": max_attempts}
        publisher.create_topic(name=path)
        publisher.create_topic(name=dead_letters)
        with pubsub_v1.SubscriberClient() as subscriber:
            subscriber.create_subscription(
                name=subscriber.subscription_path(PROJECT, f"{name}-dead-letter"),
                topic=dead_letters,
            )
            subscriber.create_subscription(
                request={
                    "name": subscriber.subscription_path(PROJECT, name),
                    "topic": path,
                    "ack_deadline_seconds": 10,
                    "enable_message_ordering": is_ordered,
                    "enable_exactly_once_delivery": is_exactly_once,
                    **({"dead_letter_policy": policy} if max_attempts else {}),
                }
            )

        def publish_all(*data: int, key: str = "") -> None:
            futures = [publisher.publish(path, b"%d" % each, ordering_key=key) for each in data]
            for future in futures:
                future.result(10)

        yield publish_all


@pytest.fixture
def is_exactly_once() -> bool:
    return False


@pytest.fixture
def is_ordered() -> bool:
    return True


@pytest.fixture
def max_attempts() -> int | None:
    """Of a dead-letter policy."""
    return None


@pytest.fixture
def consume(
    pubsub: str, name: str, is_exactly_once: bool, max_attempts: int | None
) -> Iterator[Consume]:
    """Begin to consume with a handler of batches."""
    engine = PullEngine(Connection(PROJECT))
    consumers: list[NativeConsumer] = []

    def begin(
        handler: Callable[[list[BatchMessage]], Any], batch: Batch, threads: int = 2
    ) -> NativeConsumer:
        subscription = Subscription(handler, name, batch=batch)
        policy = SettlementPolicy(subscription, confirms_acks=is_exactly_once)
        options = ConsumerOptions(
            threads,
            is_exactly_once=is_exactly_once,
            max_attempts=max_attempts,
            batch_size=batch.max_messages,
            batch_wait=batch.seconds,
        )
        callback = Callback(subscription, policy=policy)
        consumer = engine.consumer(name, callback, options, lambda: True)
        consumer.open()
        consumers.append(consumer)
        return consumer

    yield begin
    for consumer in consumers:
        end(consumer)
    engine.close()


def flat(batches: list[list[int]]) -> list[int]:
    return [each for batch in batches for each in batch]


def end(consumer: NativeConsumer, seconds: float = 10) -> int:
    consumer.drain(time.monotonic() + seconds)
    return consumer.join(time.monotonic() + seconds)


def dead_letters_of(name: str) -> list[int]:
    """All that arrive until there is one, at the latest after 30 s, and for 1 s after that."""
    found: list[int] = []
    until = time.monotonic() + 30
    with pubsub_v1.SubscriberClient() as subscriber:
        path = subscriber.subscription_path(PROJECT, f"{name}-dead-letter")
        while time.monotonic() < until:
            with suppress(DeadlineExceeded):
                response = subscriber.pull(
                    subscription=path, max_messages=100, timeout=2, retry=None
                )
                found += [int(each.message.data) for each in response.received_messages]
                until = min(until, time.monotonic() + 1) if found else until
    return found


class Handled(Inbox):
    """A handler that notes the batches that it gets, as lists of data."""

    def __init__(self, then: Callable[[list[BatchMessage]], Any] = lambda batch: None) -> None:
        super().__init__()
        self._then = then

    def __call__(self, batch: list[BatchMessage]) -> None:
        try:
            self._then(batch)
        finally:
            self.put([message.data for message in batch])

    def wait_for_messages(self, number: int, seconds: float = 60) -> list[list[int]]:
        batches: list[list[int]] = self.wait_until(
            lambda batches: len(flat(batches)) >= number, seconds
        )
        return batches


def test_messages_are_handled_in_batches_and_acked(consume: Consume, publish: Publish) -> None:
    handled = Handled()
    publish(*range(60))
    consumer = consume(handled, Batch(max_messages=20, max_wait=5))

    batches = handled.wait_for_messages(60, 30)

    assert sorted(flat(batches)) == list(range(60))
    assert max(map(len, batches)) <= 20
    assert len(batches) < 10
    assert end(consumer) == 0
    again = Handled()
    consume(again, Batch(max_messages=20, max_wait=0.1))
    publish(60)
    assert again.wait_for_messages(1) == [[60]], "nothing that was acked is redelivered"


def test_a_batch_that_is_not_full_is_handled_after_max_wait(
    consume: Consume, publish: Publish
) -> None:
    handled = Handled()
    consume(handled, Batch(max_messages=500, max_wait=0.2))
    publish(1, 2, 3)

    assert sorted(flat(handled.wait_for_messages(3, 30))) == [1, 2, 3]


def test_what_a_handler_names_is_redelivered_alone(consume: Consume, publish: Publish) -> None:
    failed: list[int] = []

    def fail_some(batch: list[BatchMessage]) -> None:
        odd = [message for message in batch if message.data % 2 and message.data not in failed]
        failed.extend(message.data for message in odd)
        if odd:
            raise PartialFailure({message: ValueError("odd") for message in odd})

    handled = Handled(fail_some)
    publish(*range(10))
    consume(handled, Batch(max_messages=10, max_wait=0.2))

    batches = handled.wait_for_messages(15)

    assert sorted(flat(batches)) == sorted([*range(10), 1, 3, 5, 7, 9])


def test_an_error_redelivers_all(consume: Consume, publish: Publish) -> None:
    errors = [ValueError("first"), None]

    def fail_once(batch: list[BatchMessage]) -> None:
        if error := errors.pop(0):
            raise error

    handled = Handled(fail_once)
    publish(*range(5))
    consume(handled, Batch(max_messages=5, max_wait=2))

    assert sorted(flat(handled.wait_for_messages(10))) == sorted([*range(5)] * 2)


def test_the_messages_of_a_key_keep_their_order_also_where_one_fails(
    consume: Consume, publish: Publish
) -> None:
    failed: list[int] = []
    acked: list[int] = []

    def fail_the_seventh_once(batch: list[BatchMessage]) -> None:
        for message in batch:
            if message.data == 7 and not failed:
                failed.append(7)
                raise PartialFailure({message: ValueError("seventh")})
            acked.append(message.data)

    handled = Handled(fail_the_seventh_once)
    publish(*range(30), key="a")
    consume(handled, Batch(max_messages=10, max_wait=0.2), threads=4)

    handled.wait_until(lambda _: len(acked) >= 30, 60)
    assert acked == list(range(30))


# Where a message with an ordering key has to go to the dead-letter topic, Google's emulator ends
# every stream of the subscription with UNKNOWN from then on.
@pytest.mark.parametrize("pubsub_server", ["embedded"], indirect=True)
@pytest.mark.parametrize("max_attempts", [5])
def test_only_the_poisonous_head_of_a_key_becomes_a_dead_letter(
    consume: Consume, publish: Publish, name: str
) -> None:
    handled_well: list[int] = []

    def fail_the_head(batch: list[BatchMessage]) -> None:
        for message in batch:
            if message.data == 0:
                raise PartialFailure({message: ValueError("poison")})
            handled_well.append(message.data)

    handled = Handled(fail_the_head)
    publish(*range(51), key="a")
    consume(handled, Batch(max_messages=60, max_wait=0.2))

    handled.wait_until(lambda _: len(handled_well) >= 50, 60)
    assert handled_well == list(range(1, 51))
    assert dead_letters_of(name) == [0]


@pytest.mark.parametrize("is_exactly_once", [True])
@pytest.mark.parametrize(("is_ordered", "key"), [(False, ""), (True, "a")])
def test_with_exactly_once_delivery_all_acks_are_confirmed(
    consume: Consume, publish: Publish, key: str
) -> None:
    handled = Handled()
    publish(*range(100), key=key)
    consumer = consume(handled, Batch(max_messages=50, max_wait=0.5))

    assert sorted(flat(handled.wait_for_messages(100))) == list(range(100))
    assert end(consumer) == 0
    assert len(flat(handled.items)) == 100


def test_at_a_stop_what_waits_is_nacked_and_not_handled(consume: Consume, publish: Publish) -> None:
    handled = Handled()
    received = threading.Event()
    publish(1, 2, 3)
    consumer = consume(handled, Batch(max_messages=500, max_wait=600))
    core = consumer._core
    while core.outstanding < 3:
        received.wait(0.01)

    began = time.monotonic()
    assert end(consumer) == 0
    assert time.monotonic() - began < 5
    assert handled.items == []
    again = Handled()
    consume(again, Batch(max_messages=3, max_wait=5))
    assert sorted(flat(again.wait_for_messages(3))) == [1, 2, 3]


def test_a_running_batch_is_finished_at_a_stop(consume: Consume, publish: Publish) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def wait(batch: list[BatchMessage]) -> None:
        begun.set()
        assert may_end.wait(30)

    handled = Handled(wait)
    publish(1, 2, 3)
    consumer = consume(handled, Batch(max_messages=3, max_wait=5))
    assert begun.wait(30)

    consumer.drain(time.monotonic() + 10)
    may_end.set()

    assert consumer.join(time.monotonic() + 10) == 0
    assert sorted(flat(handled.items)) == [1, 2, 3]
