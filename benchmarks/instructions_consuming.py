"""What is counted: consuming without a connection, in one thread.

``python instructions_consuming.py [--pieces]``, under callgrind: ``getloadavg``, which nothing else
calls, marks where a part begins and ends. The parts are printed in their order, with the number of
messages of each. gRPC and the event loop do not count; everything between their bytes does: parsing
a response, leases, the handler with its hooks, and the request that acknowledges.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

from google.pubsub_v1 import types

import rele
from rele.engine.native.consuming import consumer as native
from rele.engine.native.consuming import open_streams
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.handling.callback import Callback
from rele.messages.codec import decode

# As without the extra ``fast``: the decoder is chosen when the first payload is decoded.
sys.modules.update(dict.fromkeys(("msgspec", "orjson")))  # type: ignore[arg-type]

MESSAGES = 4000
IN_A_RESPONSE = 100
SOON = 0.02
"""Seconds: acknowledgements are due, keepalives are not."""
DATA = json.dumps({"id": 12345, "text": "x" * 76}).encode()
ATTRIBUTES = {"published_at": "1764118800.123", "country": "ES"}


class Loop:
    """Stands in for the loop and its connections: does at once what it is asked for."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.loop = self.connections = self
        self.calls: list[Callable[[], object]] = []
        self.timers: list[Any] = []
        self.blockable: set[Any] = set()
        self.availability = SimpleNamespace(is_unavailable=False)

    def start(self) -> None:
        """There is no thread."""

    def now(self) -> float:
        return self.time

    def note_work(self) -> None:
        """It is not blocked."""

    def call(self, function: Callable[..., object], *args: Any) -> None:
        self.calls.append(lambda: function(*args))

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.calls.append(lambda: _run(coroutine))

    def call_at(self, at: float, function: Callable[..., object], *args: Any) -> Any:
        timer = SimpleNamespace(at=at, run=lambda: function(*args), is_over=False, when=lambda: at)
        timer.cancel = lambda: setattr(timer, "is_over", True)
        self.timers.append(timer)
        return timer

    def call_later(self, seconds: float, function: Callable[..., object], *args: Any) -> Any:
        return self.call_at(self.time + seconds, function, *args)

    def work(self) -> None:
        """Make the calls that were asked for, and those that are due soon."""
        for timer in self.timers:
            if not timer.is_over and timer.at < self.time + SOON:
                self.time = max(self.time, timer.at)
                timer.is_over = True
                self.calls.append(timer.run)
        self.timers = [each for each in self.timers if not each.is_over]
        while self.calls:
            self.calls.pop(0)()

    async def send(self, *args: Any, **options: Any) -> None:
        """Every call is accepted."""


def _run(coroutine: Coroutine[Any, Any, Any]) -> None:
    for _ in coroutine.__await__():
        raise RuntimeError("A call without a connection has waited.")


class Threads:
    """Stands in for the handlers' threads: runs in the caller's what it is given, when asked to."""

    def __init__(self) -> None:
        self._functions: list[Callable[[], object]] = []

    def run(self, function: Callable[[], object]) -> None:
        self._functions.append(function)

    def work(self) -> None:
        while self._functions:
            self._functions.pop(0)()


class Stream:
    """Stands in for a stream, whose responses are given to it."""

    last: Stream

    def __init__(self, *args: Any, receive: Callable[[bytes], None], **others: Any) -> None:
        self.receive = receive
        Stream.last = self

    async def ping(self) -> None:
        """There is no server to answer."""


class Consuming:
    """A subscription, its handler and the responses that it gets."""

    def __init__(self) -> None:
        rele.setup(
            {
                "APP_NAME": "benchmark",
                "GC_PROJECT_ID": "benchmark",
                "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
            }
        )
        self.handled = 0
        self._loop, self._threads = Loop(), Threads()
        open_streams.StreamDriver = Stream  # type: ignore[misc,assignment]
        options = ConsumerOptions(threads=2, adapts=False)
        callback = Callback(rele.sub(topic="orders")(self._handle))
        path = "projects/benchmark/subscriptions/orders"
        loop: Any = self._loop
        threads: Any = self._threads
        self._consumer = native.NativeConsumer(path, callback, options, loop, threads)
        self._consumer.open()
        self._loop.work()

    def _handle(self, data: Any, **attributes: Any) -> None:
        self.handled += 1

    def receive(self, response: bytes) -> None:
        Stream.last.receive(response)

    def run_handlers(self) -> None:
        self._threads.work()

    def acknowledge(self) -> None:
        self._loop.work()
        self._loop.time += SOON
        self._loop.work()


def _responses(number: int) -> Iterator[bytes]:
    message = {"data": DATA, "attributes": ATTRIBUTES, "publish_time": {"seconds": 1764118800}}
    for first in range(0, number, IN_A_RESPONSE):
        response = types.StreamingPullResponse.pb()()
        for each in range(first, first + IN_A_RESPONSE):
            received = {"ack_id": f"ack-{each:0180}", "message": message}
            response.received_messages.add(**received).message.message_id = str(10**16 + each)
        yield response.SerializeToString()


def _count(name: str, part: Callable[[], object]) -> None:
    gc.collect()
    os.getloadavg()
    part()
    os.getloadavg()
    print(name, MESSAGES, sep="\t", flush=True)


def _consume(consuming: Consuming, responses: list[bytes]) -> None:
    for response in responses:
        consuming.receive(response)
        consuming.run_handlers()
        consuming.acknowledge()


def _count_pieces(consuming: Consuming, responses: list[bytes]) -> None:
    parse = types.StreamingPullResponse.pb().FromString
    received = [each for response in responses for each in parse(response).received_messages]
    request = types.AcknowledgeRequest.pb()
    _count("receiving, in the loop", lambda: [consuming.receive(each) for each in responses])
    _count("the handlers' threads", consuming.run_handlers)
    _count("settling and acknowledging, in the loop", consuming.acknowledge)
    _count("of receiving, protobuf", lambda: [parse(response) for response in responses])
    _count("of the threads, JSON", lambda: [decode(DATA) for _ in received])
    _count("of the threads, attributes", lambda: [_attributes(each) for each in received])
    _count(
        "of acknowledging, protobuf",
        lambda: request(ack_ids=[each.ack_id for each in received]).SerializeToString(),
    )


def _attributes(received: Any) -> dict[str, str]:
    received_attributes, attributes = received.message.attributes, {}
    for name in received_attributes:
        attributes[name] = received_attributes[name]
    return attributes


def main() -> None:
    consuming = Consuming()
    responses = list(_responses(MESSAGES))
    _consume(consuming, responses[:5])
    before = consuming.handled
    _count("consume", lambda: _consume(consuming, responses))
    assert consuming.handled - before == MESSAGES, consuming.handled
    if "--pieces" in sys.argv:
        _count_pieces(consuming, responses)


if __name__ == "__main__":
    main()
