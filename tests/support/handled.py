"""Consumers of Relé's own engine with callbacks of a test's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rele.engine.connection import Connection
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine
from rele.engine.times import Times
from tests.support.inbox import Inbox

PROJECT = "rele"


class Handled:
    """What a callback has received."""

    def __init__(self, handle: Callable[[Any], object] = lambda message: message.ack()) -> None:
        self.messages = Inbox()
        self._handle = handle

    def __call__(self, message: Any) -> None:
        self.messages.put(message)
        self._handle(message)

    @property
    def data(self) -> list[bytes]:
        """The data of all messages, in the order in which their handlers began."""
        return [message.data for message in self.messages.items]

    def wait_for(self, number: int, seconds: float = 20) -> list[bytes]:
        """The same, once there are ``number`` of them."""
        return [message.data for message in self.messages.wait_for(number, seconds)]


@contextmanager
def consumed(
    name: str,
    handled: Callable[[Any], object],
    threads: int = 2,
    times: Times | None = None,
    **options: Any,
) -> Iterator[NativeConsumer]:
    """Consume the subscription ``name`` within the block, where the environment leads to.

    Args:
        times: durations, which a test may shorten.
        options: fields of ConsumerOptions.
    """
    engine = PullEngine(Connection(PROJECT), times)
    consumer = engine.consumer(name, handled, ConsumerOptions(threads, **options), lambda: True)
    consumer.open()
    try:
        yield consumer
    finally:
        end(consumer)
        engine.close()


def end(consumer: NativeConsumer, seconds: float = 10) -> int:
    """Drain the consumer; how many handlers still run after ``seconds``."""
    deadline = time.monotonic() + seconds
    consumer.drain(deadline)
    return consumer.join(deadline)
