"""What is at the edge of the protocol: settings that are only kept, and calls that nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from google.pubsub_v1 import types

from tests.conformance.conftest import Service

BIGQUERY = {"table": "shop.orders.events", "write_metadata": True}
CLOUD_STORAGE = {"bucket": "shop-events", "filename_prefix": "orders-"}


@pytest.mark.parametrize(
    ("field", "config"), [("bigquery_config", BIGQUERY), ("cloud_storage_config", CLOUD_STORAGE)]
)
def test_an_export_is_returned_as_it_was_set(
    service: Service, topic: str, field: str, config: dict[str, object]
) -> None:
    name = service.subscription(topic, "export", **{field: config})

    kept = getattr(service.call("GetSubscription", subscription=name), field)
    assert {key: getattr(kept, key) for key in config} == config


@pytest.mark.parametrize(
    "method",
    ["/google.pubsub.v1.Publisher/Nope", "/nope.Nope/Nope", "/grpc.health.v1.Health/Check"],
)
def test_a_call_that_nobody_knows_is_unimplemented(pubsub_server: str, method: str) -> None:
    with grpc.insecure_channel(pubsub_server) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(method)(b"", timeout=10)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_compressed_request_is_understood(service: Service, topic: str) -> None:
    request = types.PublishRequest(topic=topic, messages=[{"data": b"x" * 5000}])
    with grpc.insecure_channel(service.address, compression=grpc.Compression.Gzip) as channel:
        publish = channel.unary_unary("/google.pubsub.v1.Publisher/Publish")

        assert publish(types.PublishRequest.serialize(request), timeout=10)


@pytest.mark.slow
def test_a_stream_stays_open_for_45_idle_seconds(
    service: Service, topic: str, make_subscription: Callable[..., str]
) -> None:
    stream = service.stream(make_subscription())
    assert stream.received(timeout=45) == []

    service.publish(topic, b"a")

    assert stream.next().message.data == b"a"
