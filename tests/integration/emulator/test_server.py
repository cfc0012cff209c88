"""The server itself: starting, stopping, and requests that are none."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from rele.emulator import BindError, EmbeddedServer, EmulatorError, PortInUseError

from .conftest import SOON, BareStream

TOPIC = "projects/p/topics/orders"
SUBSCRIPTION = "projects/p/subscriptions/orders"

_FOREGROUND = """
import sys
from rele.emulator import serve
sys.exit(serve("127.0.0.1", 0, lambda address: print(address, flush=True)))
"""


@pytest.fixture
def foreground() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::FutureWarning", "-c", _FOREGROUND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def call(address: str, method: str, request: Any) -> bytes:
    """Call a method that takes and gives bytes."""
    payload = request if isinstance(request, bytes) else type(request).serialize(request)
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer: bytes = channel.unary_unary(f"/google.pubsub.v1.{method}")(payload, timeout=SOON)
        return answer


def create_both(address: str) -> None:
    call(address, "Publisher/CreateTopic", types.Topic(name=TOPIC))
    call(
        address,
        "Subscriber/CreateSubscription",
        types.Subscription(name=SUBSCRIPTION, topic=TOPIC),
    )


class TestEmbedded:
    def test_servers_know_nothing_of_each_other(self) -> None:
        with EmbeddedServer() as first, EmbeddedServer() as second:
            assert first.address != second.address
            create_both(first.address)
            create_both(second.address)

    def test_a_taken_port_is_refused(self) -> None:
        with EmbeddedServer() as server:
            port = int(server.address.rpartition(":")[2])
            with pytest.raises(PortInUseError, match=f"127.0.0.1:{port}.*choose another port"):
                EmbeddedServer(port=port).start()

    def test_a_port_taken_by_another_program_is_refused(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with pytest.raises(PortInUseError):
                EmbeddedServer(port=taken.getsockname()[1]).start()

    @pytest.mark.parametrize(
        ("host", "port"), [("name.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 65536)]
    )
    def test_an_address_that_cannot_be_had_says_why(self, host: str, port: int) -> None:
        with pytest.raises(BindError, match=f"cannot listen on {host}:{port}: .+"):
            EmbeddedServer(host, port).start()

    def test_a_port_can_be_used_again(self) -> None:
        with EmbeddedServer() as server:
            create_both(server.address)
            port = int(server.address.rpartition(":")[2])
        with EmbeddedServer(port=port) as server:
            create_both(server.address)

    def test_stopping_ends_streams_and_pulls_as_unavailable(self) -> None:
        with EmbeddedServer() as server:
            create_both(server.address)
            stream = BareStream(server.address, subscription=SUBSCRIPTION).opened()
        try:
            assert stream.status() == (
                grpc.StatusCode.UNAVAILABLE,
                "The server is shutting down.",
            )
        finally:
            stream.close()

    def test_stopping_does_not_wait_for_a_client_that_does_not_read(self) -> None:
        server = EmbeddedServer()
        server.start()
        create_both(server.address)
        big = types.PublishRequest(topic=TOPIC, messages=[{"data": b"x" * 1_000_000}] * 8)
        for _ in range(4):
            call(server.address, "Publisher/Publish", big)
        first = types.StreamingPullRequest(
            subscription=SUBSCRIPTION, stream_ack_deadline_seconds=60
        )
        with grpc.insecure_channel(server.address) as channel:
            method = channel.stream_stream("/google.pubsub.v1.Subscriber/StreamingPull")
            unread = method(iter([types.StreamingPullRequest.serialize(first)]))
            unread.initial_metadata()
            server.stop()
            unread.cancel()

    def test_stopping_twice_or_before_the_start_does_nothing(self) -> None:
        server = EmbeddedServer()
        with pytest.raises(EmulatorError, match="was not started"):
            _ = server.address
        server.stop()
        server.start()
        server.stop()
        server.stop()


class TestForeground:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_streams_as_unavailable_and_the_process_well(
        self, foreground: tuple[subprocess.Popen[str], str], number: signal.Signals
    ) -> None:
        process, address = foreground
        create_both(address)
        stream = BareStream(address, subscription=SUBSCRIPTION).opened()
        process.send_signal(number)

        try:
            assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
        finally:
            stream.close()
        _, errors = process.communicate(timeout=SOON)
        assert (process.returncode, errors) == (0, "")


class TestRequests:
    @pytest.mark.parametrize(
        "method", ["Publisher/Publish", "Publisher/CreateTopic", "Subscriber/Pull"]
    )
    def test_bytes_that_are_no_request_are_refused(self, emulator: str, method: str) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            call(emulator, method, b"\xff\xff\xff")

        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not a valid google.pubsub.v1." in refused.value.details()

    def test_an_unknown_method_is_unimplemented(self, emulator: str) -> None:
        with pytest.raises(grpc.RpcError) as refused:
            call(emulator, "Publisher/Nope", b"")

        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED

    @pytest.mark.parametrize("size", [10_485_761, 20_000_000, 40_000_000])
    def test_a_message_of_more_than_10_mib_is_refused(
        self, emulator: str, topic: str, size: int
    ) -> None:
        request = types.PublishRequest(topic=topic, messages=[{"data": b"x" * size}])
        with pytest.raises(grpc.RpcError) as refused:
            call(emulator, "Publisher/Publish", request)

        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "messages[0].data must be at most 10485760 bytes" in refused.value.details()

    def test_a_message_of_10_mib_arrives(
        self, emulator: str, topic: str, subscription: str
    ) -> None:
        data = b"x" * 10_485_760
        request = types.PublishRequest(topic=topic, messages=[{"data": data}])
        call(emulator, "Publisher/Publish", request)
        pull = types.PullRequest(subscription=subscription, max_messages=1)
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(emulator, options=options) as channel:
            answer = channel.unary_unary("/google.pubsub.v1.Subscriber/Pull")(
                types.PullRequest.serialize(pull), timeout=SOON
            )

        response = types.PullResponse.deserialize(answer)
        assert response.received_messages[0].message.data == data
