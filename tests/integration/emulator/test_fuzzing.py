"""No request stops the server or another client, whatever is in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rele.emulator import EmbeddedServer
from tests.support import fuzzing

PUBLISHER = "google.pubsub.v1.Publisher"
SUBSCRIBER = "google.pubsub.v1.Subscriber"

METHODS = {
    PUBLISHER: (
        "CreateTopic",
        "UpdateTopic",
        "Publish",
        "GetTopic",
        "ListTopics",
        "ListTopicSubscriptions",
        "ListTopicSnapshots",
        "DeleteTopic",
        "DetachSubscription",
    ),
    SUBSCRIBER: (
        "CreateSubscription",
        "GetSubscription",
        "UpdateSubscription",
        "ListSubscriptions",
        "DeleteSubscription",
        "ModifyAckDeadline",
        "Acknowledge",
        "Pull",
        "ModifyPushConfig",
        "GetSnapshot",
        "ListSnapshots",
        "CreateSnapshot",
        "UpdateSnapshot",
        "DeleteSnapshot",
        "Seek",
    ),
}

UNARY = [f"{service}/{method}" for service, methods in METHODS.items() for method in methods]

STREAMING_PULL = f"{SUBSCRIBER}/StreamingPull"

REQUESTS = {
    "CreateTopic": types.Topic.pb(),
    "CreateSubscription": types.Subscription.pb(),
}
"""The requests that are not named after their method."""

# Few names, so that a resource is often there.
_TOPICS = [f"projects/p/topics/{name}" for name in ("one", "two", "third")]
_SUBSCRIPTIONS = [name.replace("topics", "subscriptions") for name in _TOPICS]
_SNAPSHOTS = [name.replace("topics", "snapshots") for name in _TOPICS]
TEXTS = {
    "": ["", "_deleted-topic_", "attributes:a", *_TOPICS, *_SUBSCRIPTIONS, *_SNAPSHOTS],
    "Topic.name": _TOPICS,
    "Subscription.name": _SUBSCRIPTIONS,
    "Snapshot.name": _SNAPSHOTS,
    "CreateSnapshotRequest.name": _SNAPSHOTS,
    "project": ["projects/p"],
    "topic": _TOPICS,
    "subscription": _SUBSCRIPTIONS,
    "snapshot": _SNAPSHOTS,
    "dead_letter_topic": _TOPICS,
    "FieldMask.paths": [
        field.name for kind in REQUESTS.values() for field in kind.DESCRIPTOR.fields
    ],
    "ack_ids": ["0123abcd:0:1:1", "0123abcd:9999999999:1:9999999999", "0123abcd:1:1"],
}

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

OF_A_DEFECT = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
"""What gRPC answers when a handler raises what it should not."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server of this module's own, that has to work to the end."""
    with EmbeddedServer() as server:
        yield server.address


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(autouse=True)
def _resources(channel: grpc.Channel) -> Iterator[None]:
    """Have what most requests name, and find the server at work afterwards."""
    _create_resources(channel)
    yield
    assert call(channel, f"{PUBLISHER}/ListTopics", b"\n\x0aprojects/p") is grpc.StatusCode.OK


def _create_resources(channel: grpc.Channel) -> None:
    for name in ("one", "two"):
        topic = types.Topic(name=f"projects/p/topics/{name}")
        call(channel, f"{PUBLISHER}/CreateTopic", types.Topic.serialize(topic))
        subscription = types.Subscription(
            name=f"projects/p/subscriptions/{name}",
            topic=topic.name,
            enable_message_ordering=name == "two",
            enable_exactly_once_delivery=name == "two",
        )
        payload = types.Subscription.serialize(subscription)
        call(channel, f"{SUBSCRIBER}/CreateSubscription", payload)
        snapshot = types.CreateSnapshotRequest(
            name=f"projects/p/snapshots/{name}", subscription=subscription.name
        )
        payload = types.CreateSnapshotRequest.serialize(snapshot)
        call(channel, f"{SUBSCRIBER}/CreateSnapshot", payload)


def _delete_third(channel: grpc.Channel, create: str) -> None:
    """Delete what a request may have created."""
    collection = create.rpartition("/Create")[2].lower() + "s"
    name = f"projects/p/{collection}/third".encode()
    # The name is field 1 of each of these requests.
    call(channel, create.replace("Create", "Delete"), b"\n" + bytes((len(name),)) + name)


def request_class(method: str) -> Any:
    name = method.rpartition("/")[2]
    return REQUESTS.get(name) or getattr(types, f"{name}Request").pb()


def call(channel: grpc.Channel, method: str, payload: bytes) -> grpc.StatusCode:
    """The status with which a unary RPC ends."""
    stub: Any = channel.unary_unary(f"/{method}")
    # A Pull waits for messages for as long as its client does.
    try:
        stub(payload, timeout=0.05 if method.endswith("/Pull") else 10)
    except grpc.RpcError as error:
        status: grpc.StatusCode = error.code()
        return status
    return grpc.StatusCode.OK


def stream(channel: grpc.Channel, payloads: list[bytes]) -> grpc.StatusCode:
    """The status with which a StreamingPull of these requests, then half closed, ends."""
    method: Any = channel.stream_stream(f"/{STREAMING_PULL}")
    responses = method(iter(payloads), timeout=10)
    with contextlib.suppress(grpc.RpcError):
        for _ in responses:
            pass
    status: grpc.StatusCode = responses.code()
    return status


@pytest.mark.parametrize("method", UNARY)
@EXAMPLES
@given(data=st.data())
def test_any_fields(channel: grpc.Channel, method: str, data: st.DataObject) -> None:
    request = data.draw(fuzzing.messages(request_class(method), TEXTS))

    assert call(channel, method, request.SerializeToString()) not in OF_A_DEFECT
    if "/Delete" in method:
        _create_resources(channel)
    elif "/Create" in method:
        _delete_third(channel, method)


@pytest.mark.parametrize("method", UNARY)
@EXAMPLES
@given(payload=st.binary(max_size=200))
def test_any_bytes(channel: grpc.Channel, method: str, payload: bytes) -> None:
    assert call(channel, method, payload) not in OF_A_DEFECT


@pytest.mark.parametrize("method", UNARY)
@EXAMPLES
@given(data=st.data(), at=st.integers(0), junk=st.binary(max_size=8), cut=st.booleans())
def test_any_broken_request(
    channel: grpc.Channel, method: str, data: st.DataObject, at: int, junk: bytes, cut: bool
) -> None:
    request = data.draw(fuzzing.messages(request_class(method), TEXTS))
    payload = fuzzing.broken(request, at, junk, cut=cut)

    assert call(channel, method, payload) not in OF_A_DEFECT


@EXAMPLES
@given(
    requests=st.lists(fuzzing.messages(types.StreamingPullRequest.pb(), TEXTS), max_size=3),
    opens=st.booleans(),
)
def test_any_stream(channel: grpc.Channel, requests: list[Any], opens: bool) -> None:
    if requests and opens:
        requests[0].subscription = "projects/p/subscriptions/one"
        requests[0].stream_ack_deadline_seconds = 10
    payloads = [request.SerializeToString() for request in requests]

    assert stream(channel, payloads) not in OF_A_DEFECT


@EXAMPLES
@given(payloads=st.lists(st.binary(max_size=100), max_size=3))
def test_any_bytes_on_a_stream(channel: grpc.Channel, payloads: list[bytes]) -> None:
    assert stream(channel, payloads) not in OF_A_DEFECT
