"""The server that the tests of publishing script, against Google's generated stubs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types
from grpc import StatusCode

from tests.support.proxy import Proxy
from tests.support.publish_server import PublishServer

SOON = 10
Publish = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[PublishServer]:
    with PublishServer() as server:
        yield server


@pytest.fixture
def publish(server: PublishServer) -> Iterator[Publish]:
    """Begin to publish messages by the generated stub."""
    with grpc.insecure_channel(server.address) as channel:
        stub = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=types.PublishRequest.serialize,
            response_deserializer=types.PublishResponse.deserialize,
        )

        def publish(topic: str, *data: bytes, key: str = "", **options: Any) -> Any:
            messages = [{"data": each, "ordering_key": key} for each in data]
            request = types.PublishRequest(topic=f"projects/p/topics/{topic}", messages=messages)
            return stub.future(request, **{"timeout": SOON, **options})

        yield publish


def code_of(call: Any) -> StatusCode:
    code: StatusCode = call.exception().code()
    return code


def test_it_accepts_what_it_is_sent(server: PublishServer, publish: Publish) -> None:
    assert list(publish("a", b"1", b"2").result().message_ids) == ["1", "2"]
    assert list(publish("b", b"3", key="k").result().message_ids) == ["3"]

    first, second = server.requests.items
    assert (first.topic, first.path, first.data) == ("a", "projects/p/topics/a", [b"1", b"2"])
    assert (second.keys, second.number) == ({"k"}, 2)
    assert first.at <= second.at <= time.monotonic()
    assert server.accepted.items == [b"1", b"2", b"3"]
    assert server.data_by_key() == {"": [b"1", b"2"], "k": [b"3"]}


def test_it_refuses_what_the_test_describes(server: PublishServer, publish: Publish) -> None:
    server.refuse(StatusCode.UNAVAILABLE, "later — 100%", times=2, topic="a")
    server.refuse(StatusCode.NOT_FOUND, key="gone")
    server.refuse(StatusCode.INTERNAL, number=4)
    server.refuse(StatusCode.INVALID_ARGUMENT, data=b"bad")

    error = publish("a", b"1").exception()
    assert (error.code(), error.details()) == (StatusCode.UNAVAILABLE, "later — 100%")
    assert code_of(publish("b", b"2", key="gone")) is StatusCode.NOT_FOUND
    assert code_of(publish("a", b"3")) is StatusCode.UNAVAILABLE
    assert code_of(publish("a", b"4")) is StatusCode.INTERNAL
    assert code_of(publish("a", b"5", b"bad")) is StatusCode.INVALID_ARGUMENT
    assert publish("a", b"6").result()
    server.accept_all()
    assert publish("a", b"bad").result()
    assert server.accepted.items == [b"6", b"bad"]


def test_it_holds_an_answer_until_it_is_released(server: PublishServer, publish: Publish) -> None:
    hold = server.hold(topic="a")
    held = [publish("a", b"1"), publish("a", b"2")]
    hold.requests.wait_for(2)

    assert publish("b", b"3").result()
    assert not any(call.done() for call in held)
    hold.release()

    assert all(call.result(SOON) for call in [*held, publish("a", b"4")])
    assert sorted(server.accepted.items) == [b"1", b"2", b"3", b"4"]


def test_it_goes_on_holding_what_comes_after_those_released(
    server: PublishServer, publish: Publish
) -> None:
    hold = server.hold()
    first = publish("a", b"1")
    hold.requests.wait_for(1)
    hold.release_held()
    assert first.result()
    second = publish("a", b"2")
    hold.requests.wait_for(2)

    hold.refuse(StatusCode.ABORTED, "enough")

    assert code_of(second) is StatusCode.ABORTED


def test_it_notices_that_a_client_gives_up_a_call_that_is_never_answered(
    server: PublishServer, publish: Publish
) -> None:
    server.hold()

    assert code_of(publish("a", b"1", timeout=0.5)) is StatusCode.DEADLINE_EXCEEDED

    (request,) = server.requests.items
    assert request.call.is_cancelled.wait(SOON)
    assert 0.3 < request.call.timeout <= 0.51  # gRPC rounds it up


def test_it_answers_after_a_delay(server: PublishServer, publish: Publish) -> None:
    server.delay = 0.2
    began = time.monotonic()

    assert publish("a", b"1").result()

    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    ("compression", "encoding"),
    [(grpc.Compression.NoCompression, "identity"), (grpc.Compression.Gzip, "gzip")],
)
def test_it_sees_the_compression(
    server: PublishServer, publish: Publish, compression: grpc.Compression, encoding: str
) -> None:
    assert publish("a", b"x" * 100_000, compression=compression).result()

    (request,) = server.requests.items
    assert request.data == [b"x" * 100_000]
    assert request.encoding == encoding
    assert request.size > 100_000
    assert (request.wire_bytes < 10_000) is (encoding == "gzip")


def test_it_takes_the_largest_requests_and_answers_with_many_ids(
    server: PublishServer, publish: Publish
) -> None:
    calls = [publish("a", *[b"x" * 9_000] * 1000) for _ in range(4)]

    assert [len(call.result().message_ids) for call in calls] == [1000] * 4
    assert server.connections == 1


def test_it_counts_connections(server: PublishServer) -> None:
    ready = []
    for _ in range(2):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.address, options=options) as channel:
            grpc.channel_ready_future(channel).result(SOON)
            ready.append((server.connections, server.open_connections > 0))

    assert ready == [(1, True), (2, True)]


def test_a_call_of_another_method_is_unimplemented(server: PublishServer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/google.pubsub.v1.Publisher/CreateTopic").future(b"")
        assert code_of(call) is StatusCode.UNIMPLEMENTED


def test_a_connection_that_is_cut_ends_its_calls(server: PublishServer) -> None:
    hold = server.hold()
    with Proxy(server.address) as proxy, grpc.insecure_channel(proxy.address) as channel:
        call = channel.unary_unary("/google.pubsub.v1.Publisher/Publish").future(b"", timeout=SOON)
        hold.requests.wait_for(1)

        proxy.cut()

        assert code_of(call) is StatusCode.UNAVAILABLE
    assert hold.requests.items[0].call.is_cancelled.wait(SOON)
