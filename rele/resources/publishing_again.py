"""Publishing messages as they are, several in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from google.api_core import exceptions
from google.pubsub_v1 import PublisherClient as PlainPublisherClient

from rele.engine.connection import Connection
from rele.resources.parallel_calls import PUBLISH_TO, explained
from rele.resources.pubsub_calls import topic_client

PUBLISH_TIMEOUT = 60.0
"""Seconds for a request, its retries included."""


class Republisher:
    """Publishes what was published before, without hooks and without another encoding.

    Args:
        connection: makes the client, when it is needed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def _client(self) -> Any:
        return topic_client(self._connection)

    def publish(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Publish ``messages`` of one ordering key, and return once Pub/Sub has accepted them.

        Args:
            topic: a full path.
            messages: the fields of Google's PubsubMessage.

        Returns:
            whether it has; otherwise one of them is invalid, and none is published.

        Raises:
            ResourceError: Pub/Sub refused for another reason, or did not answer.
        """
        try:
            with explained(PUBLISH_TO, topic, exceptions.InvalidArgument):
                # As in engine/google/dead_letters.py: whole messages, and no batches.
                PlainPublisherClient.publish(
                    self._client,
                    request={"topic": topic, "messages": list(messages)},
                    timeout=PUBLISH_TIMEOUT,
                )
        except exceptions.InvalidArgument:
            return False
        return True

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_client" in vars(self):
            self._client.transport.close()
