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
from rele.engine.google.refusals import explain
from rele.messages.limits import MAX_ATTRIBUTES

PUBLISH_TIMEOUT = 10.0
"""Seconds for the one attempt; where it fails, the message is nacked."""

_PREFIX = "CloudPubSubDeadLetterSource"


class DeadLetterPublisher:
    """Publishes messages to dead-letter topics, by a client that is made for the first of them.

    Args:
        connection: by which that client is made.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None
        self._lock = threading.Lock()

    def sender(self, topic: str, subscription: str) -> Callable[[Message], None]:
        """What publishes a message of ``subscription`` to ``topic``; both are full paths.

        It returns when Pub/Sub has accepted it.

        Raises:
            google.api_core.exceptions.GoogleAPIError: Pub/Sub did not; it says why in one line.
        """
        return partial(self._send, topic, subscription)

    def _send(self, topic: str, subscription: str, message: Message) -> None:
        client = self._get_client()
        try:
            # This method of the class above takes whole messages, with attributes of any name, and
            # returns when it is done; that of the client itself collects batches.
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
    """What Pub/Sub itself adds ("Dead-letter topics", Google Cloud documentation)."""
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
