"""Creating a subscription without reading it first, as Relé 1.x does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.protobuf.field_mask_pb2 import FieldMask

from rele.engine.connection import Connection
from rele.resources.pubsub_calls import create_topic, topic_client


def update_or_create(
    subscriber: Any,
    connection: Connection,
    request: Mapping[str, Any],
) -> None:
    """Create the subscription of ``request`` and, if it is missing, its topic.

    If the subscription exists, only its retry policy is updated, if ``request`` has one.

    Raises:
        google.api_core.exceptions.GoogleAPIError: Pub/Sub refused a request.
    """
    try:
        try:
            subscriber.create_subscription(request=request)
        except exceptions.NotFound:
            create_topic(topic_client(connection), request["topic"], connection.regions)
            subscriber.create_subscription(request=request)
    except exceptions.AlreadyExists:
        if "retry_policy" in request:
            _update_retry_policy(subscriber, request)


def _update_retry_policy(subscriber: Any, request: Mapping[str, Any]) -> None:
    subscription = pubsub_v1.types.Subscription(
        name=request["name"], topic=request["topic"], retry_policy=request["retry_policy"]
    )
    subscriber.update_subscription(
        request={
            "subscription": subscription,
            "update_mask": FieldMask(paths=["retry_policy"]),
        }
    )
