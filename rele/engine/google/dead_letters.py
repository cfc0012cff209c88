"""Publishing a received message to the dead-letter topic of its subscription."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as PlainPublisherClient

from rele.engine.base import Message, SendToDeadLetters
from rele.engine.connection import Connection
from rele.engine.google.observing import observed_publish
from rele.engine.refusals import explain
from rele.messages.dead_letter_attributes import letter_attributes, source_attributes

PUBLISH_TIMEOUT = 10.0
"""Seconds for the only attempt; if it fails, the message is nacked."""


class DeadLetterPublisher:
    """Publishes messages to dead-letter topics, through a client that the first message makes.

    Args:
        connection: makes the client.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None
        self._lock = threading.Lock()

    def sender(self, topic: str, subscription: str) -> SendToDeadLetters:
        """Return a function that publishes a message of ``subscription`` to ``topic``.

        Both are full paths. The function gets the message and attributes that say why it failed; it
        returns when Pub/Sub has accepted the message.

        Raises:
            google.api_core.exceptions.GoogleAPIError: (from the function) Pub/Sub has not accepted
                the message; the error says why in one line.
        """
        return partial(self._send, topic, subscription)

    def _send(
        self, topic: str, subscription: str, message: Message, failure: Mapping[str, str]
    ) -> None:
        letter = _dead_letter(message, topic, subscription, failure)
        client = self._get_client()
        try:
            # The method of the base class takes whole messages, with attributes of any name, and
            # returns when they are published; the client's own method collects batches.
            with observed_publish(topic, [_Letter(**letter)]):
                PlainPublisherClient.publish(
                    client,
                    request={"topic": topic, "messages": [letter]},
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


@dataclass(frozen=True)
class _Letter:
    """What observers see of it."""

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str
    message_id: str = ""


def _dead_letter(
    message: Message, topic: str, subscription: str, failure: Mapping[str, str]
) -> dict[str, Any]:
    source = source_attributes(subscription, message.publish_time, message.delivery_attempt)
    return {
        "data": message.data,
        "attributes": letter_attributes(
            topic, message.data, message.attributes, message.ordering_key, source, failure
        ),
        "ordering_key": message.ordering_key,
    }
