"""How much one Acknowledge or ModifyAckDeadline may have, and how many calls a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from tests.conformance.conftest import SUBSCRIBER, Service, refused

MakeSubscription = Callable[..., str]
METHODS = ("Acknowledge", "ModifyAckDeadline")


def call(service: Service, method: str, subscription: str, ack_ids: list[str]) -> None:
    fields: dict[str, Any] = {"subscription": subscription, "ack_ids": ack_ids}
    if method == "ModifyAckDeadline":
        fields["ack_deadline_seconds"] = 60
    service.call(method, **fields)


@pytest.fixture
def keep_open() -> Iterator[Callable[[bytes], Iterator[bytes]]]:
    """The requests of a stream whose first one is given, and which stays open."""
    is_over = threading.Event()

    def requests(first: bytes) -> Iterator[bytes]:
        yield first
        is_over.wait()

    yield requests
    is_over.set()


@pytest.fixture
def subscription(make_subscription: MakeSubscription) -> str:
    return make_subscription()


@pytest.fixture
def ack_ids(service: Service, topic: str, subscription: str) -> list[str]:
    service.publish(topic, *[b"x"] * 1000)
    return [each.ack_id for each in service.pull(subscription, 1000)]


@pytest.mark.parametrize("method", METHODS)
def test_a_request_has_1000_ack_ids(
    service: Service, subscription: str, ack_ids: list[str], method: str
) -> None:
    call(service, method, subscription, ack_ids)


@pytest.mark.google_differs("not enforced: the number of ack ids")
@pytest.mark.parametrize("method", METHODS)
def test_a_request_has_at_most_1000_ack_ids(
    service: Service, subscription: str, ack_ids: list[str], method: str
) -> None:
    with refused("INVALID_ARGUMENT", "at most 1000 ack ids"):
        call(service, method, subscription, [*ack_ids, ack_ids[0]])


@pytest.mark.google_differs("not enforced: the size of an acknowledgement")
@pytest.mark.parametrize("method", METHODS)
def test_a_request_has_at_most_512_kib(service: Service, subscription: str, method: str) -> None:
    with refused("INVALID_ARGUMENT", "524288 bytes"):
        call(service, method, subscription, ["x" * 1024] * 512)


@pytest.mark.google_differs("more streams of a connection are accepted")
def test_a_call_behind_100_streams_of_its_connection_waits(
    service: Service, subscription: str, keep_open: Callable[[bytes], Iterator[bytes]]
) -> None:
    """As at Google's front end: a client needs another connection for its acknowledgements."""
    first = types.StreamingPullRequest.serialize(
        types.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=60)
    )
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(service.address, options) as channel:
        pull = channel.stream_stream(f"/{SUBSCRIBER}/StreamingPull")
        opened = [pull(keep_open(first)) for _ in range(100)]
        get = channel.unary_unary(f"/{SUBSCRIBER}/GetSubscription")
        request = types.GetSubscriptionRequest.serialize(
            types.GetSubscriptionRequest(subscription=subscription)
        )
        with pytest.raises(grpc.RpcError) as raised:
            get(request, timeout=1)
        assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        opened[0].cancel()
        assert get(request, timeout=10)
