"""What is measured of a Pub/Sub server; each function returns one figure of one run."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from google.cloud import pubsub_v1

from benchmarks.emulator_stubs import MESSAGE_BYTES, batch, drain, fill, resources, stubs

STREAMED = 20_000
"""Messages of each run of a stream."""

_PATIENCE_SECONDS = 60


def stream_with_googles_client(address: str) -> float:
    """Messages per second by one stream of Google's client, each acknowledged."""
    with stubs(address) as bare, resources(bare) as (topic, subscription):
        fill(bare, topic, STREAMED)
        done = threading.Event()
        left = iter(range(STREAMED - 1, -1, -1))

        def handle(message: Any) -> None:
            message.ack()
            if next(left) == 0:
                done.set()

        with _led_to(address), pubsub_v1.SubscriberClient() as client:
            began = time.perf_counter()
            future = client.subscribe(subscription, handle)
            _wait(done)
            seconds = time.perf_counter() - began
            future.cancel()
            future.result()
    return STREAMED / seconds


def stream_on_stubs(address: str) -> float:
    """Messages per second by one bare stream, each acknowledged."""
    with stubs(address) as bare, resources(bare) as (topic, subscription):
        fill(bare, topic, STREAMED)
        began = time.perf_counter()
        drain(bare, subscription, STREAMED)
        return STREAMED / (time.perf_counter() - began)


def publish_with_googles_client(
    address: str, number: int = 20_000, *, subscribed: bool = False
) -> float:
    """Messages per second by Google's client with its own batching.

    Only where the topic is ``subscribed`` to is there anything that a server has to keep.
    """
    with stubs(address) as bare, resources(bare, subscribed=subscribed) as (topic, _):
        with _led_to(address):
            client = pubsub_v1.PublisherClient()
        began = time.perf_counter()
        futures = [client.publish(topic, b"x" * MESSAGE_BYTES) for _ in range(number)]
        for future in futures:
            future.result(_PATIENCE_SECONDS)
        seconds = time.perf_counter() - began
        client.stop()
        client.transport.close()
    return number / seconds


def publish_on_stubs(address: str, seconds: float = 1.5) -> float:
    """Messages per second, 1,000 in a request, one request at a time."""
    with stubs(address) as bare, resources(bare, subscribed=False) as (topic, _):
        payload = batch(topic, 1000)
        bare.publish(payload)
        number = 0
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            bare.publish(payload)
            number += 1000
    return number / passed


def latency(address: str, number: int = 60) -> float:
    """Milliseconds from a publish to its receipt by a stream, one at a time: the median."""
    with stubs(address) as bare, resources(bare) as (topic, subscription):
        payload = batch(topic, 1)
        stream = bare.stream(subscription)
        received = iter(stream)
        times = []
        for _ in range(number):
            began = time.perf_counter()
            bare.publish(payload)
            ack_ids = next(received)
            times.append(time.perf_counter() - began)
            stream.acknowledge(ack_ids)
        stream.close()
    return median(times) * 1000


def cost_in_backlog(
    address: str, waiting: int, filled: Callable[[], None] = lambda: None, number: int = 10_000
) -> float:
    """Microseconds for each of ``number`` messages by one bare stream, of so many waiting.

    ``filled`` is called when all of them wait.
    """
    with stubs(address) as bare, resources(bare) as (topic, subscription):
        fill(bare, topic, waiting)
        filled()
        began = time.perf_counter()
        drain(bare, subscription, number)
        return (time.perf_counter() - began) / number * 1_000_000


@contextlib.contextmanager
def _led_to(address: str) -> Iterator[None]:
    """Google's clients that are made in the block use the server at ``address``."""
    before = os.environ.get("PUBSUB_EMULATOR_HOST")
    os.environ["PUBSUB_EMULATOR_HOST"] = address
    try:
        yield
    finally:
        del os.environ["PUBSUB_EMULATOR_HOST"]
        if before is not None:
            os.environ["PUBSUB_EMULATOR_HOST"] = before


def _wait(done: threading.Event) -> None:
    if not done.wait(_PATIENCE_SECONDS):
        raise TimeoutError(f"Not all messages came within {_PATIENCE_SECONDS} s.")
