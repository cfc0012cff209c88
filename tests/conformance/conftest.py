"""One suite for two servers: ours, and Google's emulator where it is installed.

The tests say what the Pub/Sub service documents. ``google_differs`` marks what Google's emulator
does otherwise: there, and only there, the test is expected to fail. The reasons are a list of the
differences (``pytest tests/conformance -rx``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from tests.support.streams import SOON, BareStream

PUBLISHER = "google.pubsub.v1.Publisher"
SUBSCRIBER = "google.pubsub.v1.Subscriber"
SCHEMA_SERVICE = "google.pubsub.v1.SchemaService"

_METHODS: dict[str, tuple[str, Any, Any]] = {
    "CreateTopic": (PUBLISHER, types.Topic, types.Topic),
    "UpdateTopic": (PUBLISHER, types.UpdateTopicRequest, types.Topic),
    "GetTopic": (PUBLISHER, types.GetTopicRequest, types.Topic),
    "ListTopics": (PUBLISHER, types.ListTopicsRequest, types.ListTopicsResponse),
    "ListTopicSubscriptions": (
        PUBLISHER,
        types.ListTopicSubscriptionsRequest,
        types.ListTopicSubscriptionsResponse,
    ),
    "ListTopicSnapshots": (
        PUBLISHER,
        types.ListTopicSnapshotsRequest,
        types.ListTopicSnapshotsResponse,
    ),
    "DeleteTopic": (PUBLISHER, types.DeleteTopicRequest, None),
    "DetachSubscription": (
        PUBLISHER,
        types.DetachSubscriptionRequest,
        types.DetachSubscriptionResponse,
    ),
    "Publish": (PUBLISHER, types.PublishRequest, types.PublishResponse),
    "CreateSubscription": (SUBSCRIBER, types.Subscription, types.Subscription),
    "GetSubscription": (SUBSCRIBER, types.GetSubscriptionRequest, types.Subscription),
    "UpdateSubscription": (SUBSCRIBER, types.UpdateSubscriptionRequest, types.Subscription),
    "ListSubscriptions": (
        SUBSCRIBER,
        types.ListSubscriptionsRequest,
        types.ListSubscriptionsResponse,
    ),
    "DeleteSubscription": (SUBSCRIBER, types.DeleteSubscriptionRequest, None),
    "ModifyAckDeadline": (SUBSCRIBER, types.ModifyAckDeadlineRequest, None),
    "Acknowledge": (SUBSCRIBER, types.AcknowledgeRequest, None),
    "Pull": (SUBSCRIBER, types.PullRequest, types.PullResponse),
    "ModifyPushConfig": (SUBSCRIBER, types.ModifyPushConfigRequest, None),
    "Seek": (SUBSCRIBER, types.SeekRequest, types.SeekResponse),
    "CreateSnapshot": (SUBSCRIBER, types.CreateSnapshotRequest, types.Snapshot),
    "GetSnapshot": (SUBSCRIBER, types.GetSnapshotRequest, types.Snapshot),
    "UpdateSnapshot": (SUBSCRIBER, types.UpdateSnapshotRequest, types.Snapshot),
    "ListSnapshots": (SUBSCRIBER, types.ListSnapshotsRequest, types.ListSnapshotsResponse),
    "DeleteSnapshot": (SUBSCRIBER, types.DeleteSnapshotRequest, None),
    "ListSchemas": (SCHEMA_SERVICE, types.ListSchemasRequest, types.ListSchemasResponse),
}


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    for item in items:
        marker = item.get_closest_marker("google_differs")
        callspec = getattr(item, "callspec", None)
        if marker is None or callspec is None:
            continue
        if callspec.params.get("pubsub_server") == "google":
            strict = marker.kwargs.get("strict", True)
            item.add_marker(pytest.mark.xfail(reason=marker.args[0], strict=strict))


class Service:
    """The RPCs of one server as bare stubs, within a project of the test's own."""

    def __init__(self, address: str, channel: grpc.Channel, project: str) -> None:
        self.address = address
        self.project = f"projects/{project}"
        self._channel = channel
        self._streams: list[BareStream] = []

    def call(self, method: str, timeout: float = SOON, **fields: Any) -> Any:
        """Call an RPC and return its response; None where that is empty."""
        service, request, response = _METHODS[method]
        stub = self._channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=request.serialize,
            response_deserializer=response.deserialize if response else None,
        )
        answer = stub(request(**fields), timeout=timeout)
        return answer if response else None

    def topic(self, name: str = "topic", **fields: Any) -> str:
        """Create a topic and return its name."""
        full = f"{self.project}/topics/{name}"
        self.call("CreateTopic", name=full, **fields)
        return full

    def subscription(self, topic: str, name: str = "sub", **fields: Any) -> str:
        """Create a subscription and return its name."""
        full = f"{self.project}/subscriptions/{name}"
        self.call("CreateSubscription", name=full, topic=topic, **fields)
        return full

    def publish(self, topic: str, *messages: Any) -> list[str]:
        """Publish messages, each bytes or the fields of one, and return their ids."""
        as_fields = [each if isinstance(each, dict) else {"data": each} for each in messages]
        return list(self.call("Publish", topic=topic, messages=as_fields).message_ids)

    def publish_keyed(self, topic: str, key: str, *data: bytes) -> None:
        """Publish with an ordering key."""
        self.publish(topic, *({"data": each, "ordering_key": key} for each in data))

    def pull(self, subscription: str, number: int = 1, within: float = SOON) -> list[Any]:
        """So many received messages, or fewer after ``within`` seconds."""
        received: list[Any] = []
        end = time.monotonic() + within
        while len(received) < number and (left := end - time.monotonic()) > 0:
            received += self._pull(subscription, number - len(received), max(left, 1.2))
        return received

    def pull_now(self, subscription: str, number: int = 1000) -> list[Any]:
        """What can be had without waiting."""
        received: list[Any] = []
        while batch := list(
            self.call(
                "Pull", subscription=subscription, max_messages=number, return_immediately=True
            ).received_messages
        ):
            received += batch
        return received

    def ack(self, subscription: str, *received: Any) -> None:
        """Acknowledge received messages, or ack ids."""
        ids = [each if isinstance(each, str) else each.ack_id for each in received]
        self.call("Acknowledge", subscription=subscription, ack_ids=ids)

    def modack(self, subscription: str, seconds: int, *received: Any) -> None:
        """Extend the leases of received messages, or of ack ids."""
        ids = [each if isinstance(each, str) else each.ack_id for each in received]
        self.call(
            "ModifyAckDeadline",
            subscription=subscription,
            ack_ids=ids,
            ack_deadline_seconds=seconds,
        )

    def nack(self, subscription: str, *received: Any) -> None:
        """Refuse received messages."""
        self.modack(subscription, 0, *received)

    def stream(self, subscription: str, **first: Any) -> BareStream:
        """Open a bare StreamingPull, closed at the end of the test."""
        self._streams.append(BareStream(self.address, subscription=subscription, **first))
        return self._streams[-1]

    def close(self) -> None:
        for stream in self._streams:
            stream.close()

    def _pull(self, subscription: str, number: int, within: float) -> list[Any]:
        with contextlib.suppress(grpc.RpcError):
            return list(
                self.call(
                    "Pull", timeout=within, subscription=subscription, max_messages=number
                ).received_messages
            )
        return []


def data_of(received: Iterable[Any]) -> list[bytes]:
    """The data of received messages."""
    return [each.message.data for each in received]


@contextlib.contextmanager
def refused(code: str, text: str = "") -> Iterator[None]:
    """The RPC in the block is refused with this status, and a message that has ``text``."""
    with pytest.raises(grpc.RpcError) as raised:
        yield
    error: Any = raised.value
    assert error.code().name == code, error.details()
    assert text in error.details()


@pytest.fixture(scope="session")
def channel(pubsub_server: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(pubsub_server) as channel:
        yield channel


@pytest.fixture
def service(pubsub_server: str, channel: grpc.Channel, project_id: str) -> Iterator[Service]:
    """The server under test, and a project in it that nothing else uses."""
    service = Service(pubsub_server, channel, project_id)
    yield service
    service.close()


@pytest.fixture
def topic(service: Service) -> str:
    return service.topic()


@pytest.fixture
def make_subscription(service: Service, topic: str) -> Callable[..., str]:
    """Create a subscription of ``topic`` with the fields that are given."""

    def make_subscription(name: str = "sub", **fields: Any) -> str:
        return service.subscription(topic, name, **fields)

    return make_subscription
