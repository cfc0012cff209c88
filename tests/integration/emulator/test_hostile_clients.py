"""A client that does what none should costs only itself."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from rele.emulator import EmbeddedServer, ask_status, server

from .conftest import SOON, BareStream
from .test_server import SUBSCRIPTION, TOPIC, call, create_both

OTHER = "projects/p/subscriptions/other"
STREAMING_PULL = "/google.pubsub.v1.Subscriber/StreamingPull"
STREAMS_OF_CONNECTION = 100
"""What is begun beyond them waits."""

_STREAM = """
import sys, grpc
from google.pubsub_v1 import types
address, subscription = sys.argv[1:]
first = types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=600)
with grpc.insecure_channel(address) as channel:
    method = channel.stream_stream("/google.pubsub.v1.Subscriber/StreamingPull")
    def requests():
        yield types.StreamingPullRequest.serialize(first)
        print("open", flush=True)
        sys.stdin.read()
    for response in method(requests()):
        print("received", flush=True)
"""


@pytest.fixture
def address() -> Iterator[str]:
    """A server of the test's own, with a topic and two subscriptions of it."""
    with EmbeddedServer() as embedded:
        create_both(embedded.address)
        call(
            embedded.address,
            "Subscriber/CreateSubscription",
            types.Subscription(name=OTHER, topic=TOPIC),
        )
        yield embedded.address


@pytest.fixture
def stream(address: str) -> Iterator[Callable[..., BareStream]]:
    """Open a well-behaved stream."""
    opened: list[BareStream] = []

    def stream(subscription: str = SUBSCRIPTION, **first: Any) -> BareStream:
        opened.append(BareStream(address, subscription=subscription, **first).opened())
        return opened[-1]

    yield stream
    for each in opened:
        each.close()


@pytest.fixture
def other_process(address: str) -> Iterator[subprocess.Popen[str]]:
    """A process with an open stream that takes everything and acknowledges nothing."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _STREAM, address, SUBSCRIPTION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        wait_for_consumers(address, 1)
        yield process
        process.kill()


def publish(address: str, number: int, size: int = 1) -> None:
    messages = [{"data": b"x" * size}] * number
    call(address, "Publisher/Publish", types.PublishRequest(topic=TOPIC, messages=messages))


def receive(stream: BareStream, number: int) -> None:
    """Take and acknowledge so many messages."""
    for _ in range(number):
        stream.send(ack_ids=[stream.next().ack_id], stream_ack_deadline_seconds=0)


def entry(address: str) -> dict[str, Any]:
    """What the server says of the subscription."""
    found = ask_status(address)["subscriptions"]
    return next(each for each in found if each["name"] == SUBSCRIPTION)


def wait_for_consumers(address: str, number: int) -> None:
    deadline = time.monotonic() + SOON
    while entry(address)["consumers"] != number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Requests:
    """The requests of a stream that stays open: the first, and then none until ``end``."""

    def __init__(self, **first: Any) -> None:
        request = types.StreamingPullRequest(
            subscription=SUBSCRIPTION, stream_ack_deadline_seconds=600, **first
        )
        self._first = types.StreamingPullRequest.serialize(request)
        self._ended = threading.Event()
        self.end = self._ended.set

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        self._ended.wait()


@contextlib.contextmanager
def unread_streams(address: str, number: int, **first: Any) -> Iterator[None]:
    """So many streams of one client that acknowledges nothing and reads nothing."""
    requests = Requests(**first)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with contextlib.ExitStack() as channels:
        methods: list[Any] = [
            channels.enter_context(grpc.insecure_channel(address, options)).stream_stream(
                STREAMING_PULL
            )
            for _ in range(0, number, STREAMS_OF_CONNECTION)
        ]
        calls = [
            methods[stream // STREAMS_OF_CONNECTION](iter(requests)) for stream in range(number)
        ]
        wait_for_consumers(address, number)
        yield
        for each in calls:
            each.cancel()
        requests.end()


def test_one_that_opens_200_streams_and_never_acks(
    address: str, stream: Callable[..., BareStream]
) -> None:
    with unread_streams(address, 200, max_outstanding_messages=1):
        good, unrelated = stream(), stream(OTHER)
        publish(address, 600)

        receive(unrelated, 600)
        receive(good, 400)

        assert entry(address)["outstanding"] >= 200
    wait_for_consumers(address, 1)


def test_one_that_never_reads_gets_no_more_than_its_connection_holds(
    address: str, stream: Callable[..., BareStream]
) -> None:
    with unread_streams(address, 1):
        for _ in range(10):
            publish(address, 100, size=50_000)

        receive(stream(), 500)


def test_one_that_is_killed_holds_up_nobody(
    address: str, other_process: subprocess.Popen[str], stream: Callable[..., BareStream]
) -> None:
    assert other_process.stdout is not None
    publish(address, 3)
    assert other_process.stdout.readline() == "received\n"

    other_process.kill()
    wait_for_consumers(address, 0)

    publish(address, 20)
    receive(stream(), 20)
    receive(stream(OTHER), 23)


def test_one_that_stands_still_is_noticed(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    # A second each, where it is half a minute.
    options = [
        (name, 1000 if name.endswith(("keepalive_time_ms", "timeout_ms")) else value)
        for name, value in server._OPTIONS
    ]
    monkeypatch.setattr(server, "_OPTIONS", options)
    process = request.getfixturevalue("other_process")
    address = request.getfixturevalue("address")

    process.send_signal(signal.SIGSTOP)

    wait_for_consumers(address, 0)


def test_200_connections_that_say_nothing(address: str, stream: Callable[..., BareStream]) -> None:
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as hostile:
        for _ in range(200):
            hostile.enter_context(socket.create_connection((host, int(port))))

        publish(address, 10)
        receive(stream(), 10)


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff"]
)
def test_one_that_speaks_something_else(
    address: str, stream: Callable[..., BareStream], said: bytes
) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as hostile:
        hostile.sendall(said)

        publish(address, 10)
        receive(stream(), 10)


def test_one_that_asks_and_leaves(address: str, stream: Callable[..., BareStream]) -> None:
    with grpc.insecure_channel(address) as channel:
        pull: Any = channel.unary_unary("/google.pubsub.v1.Subscriber/Pull")
        request = types.PullRequest(subscription=SUBSCRIPTION, max_messages=1000)
        waiting = [pull.future(types.PullRequest.serialize(request)) for _ in range(100)]
        wait_for_consumers(address, 100)
        for each in waiting:
            each.cancel()
        wait_for_consumers(address, 0)

    publish(address, 10)
    receive(stream(), 10)
