"""Publishing a received message to the dead-letter topic of its subscription."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Any

from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as PlainPublisherClient

from rele.engine.base import Message
from rele.engine.connection import Connection
from rele.engine.refusals import explain
from rele.messages.limits import MAX_ATTRIBUTES

PUBLISH_TIMEOUT = 10.0
"""Seconds for the only attempt; if it fails, the message is nacked."""

_PREFIX = "CloudPubSubDeadLetterSource"


class DeadLetterPublisher:
    """Publishes messages to dead-letter topics, through a client that the first message makes.

    Args:
        connection: makes the client.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None
        self._lock = threading.Lock()

    def sender(self, topic: str, subscription: str) -> Callable[[Message], None]:
        """Return a function that publishes a message of ``subscription`` to ``topic``.

        Both are full paths. The function returns when Pub/Sub has accepted the message.

        Raises:
            google.api_core.exceptions.GoogleAPIError: (from the function) Pub/Sub has not accepted
                the message; the error says why in one line.
        """
        return partial(self._send, topic, subscription)

    def _send(self, topic: str, subscription: str, message: Message) -> None:
        client = self._get_client()
        try:
            # The method of the base class takes whole messages, with attributes of any name, and
            # returns when they are published; the client's own method collects batches.
            PlainPublisherClient.publish(
                client,
                request={"topic": topic, "messages": [_dead_letter(message, subscription)]},
                retry=None,
                timeout=PUBLISH_TIMEOUT,
            )
        except Exception as error:  # noqa: BLE001 - it is raised again
            raise explain(error, topic, self._connection.address) from None

    def _get_client(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connection.make_client(pubsub_v1.PublisherClient)
            return self._client


def _dead_letter(message: Message, subscription: str) -> dict[str, Any]:
    attributes = dict(message.attributes)
    source = _source_attributes(message, subscription)
    if len(attributes | source) <= MAX_ATTRIBUTES:
        attributes |= source
    return {
        "data": message.data,
        "attributes": attributes,
        "ordering_key": message.ordering_key,
    }


def _source_attributes(message: Message, subscription: str) -> dict[str, str]:
    """The attributes that Pub/Sub would add ("Dead-letter topics", Google Cloud documentation)."""
    _, project, _, name = subscription.split("/")
    published: datetime = message.publish_time.astimezone(timezone.utc)
    attributes = {
        f"{_PREFIX}Subscription": name,
        f"{_PREFIX}SubscriptionProject": project,
        f"{_PREFIX}TopicPublishTime": published.isoformat(timespec="milliseconds").replace(
            "+00:00", "Z"
        ),
    }
    if message.delivery_attempt:
        attributes[f"{_PREFIX}DeliveryCount"] = str(message.delivery_attempt)
    return attributes
