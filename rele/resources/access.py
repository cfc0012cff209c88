"""Pub/Sub as a command uses it for a moment: calls on what it names, and no streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from google.cloud import pubsub_v1

from rele.engine.connection import Connection
from rele.resources.changes import CREATE_SUBSCRIPTION
from rele.resources.copies import copied, start_as
from rele.resources.desired import dead_letter_subscription
from rele.resources.parallel_calls import explained
from rele.resources.publishing_again import Republisher
from rele.resources.pubsub_calls import Service
from rele.resources.seeking import Position
from rele.resources.waiting_messages import WaitingMessages


class Access:
    """Makes the calls through clients that the first use makes.

    Args:
        connection: makes the clients.
    """

    def __init__(self, connection: Connection) -> None:
        self._subscriber = connection.make_client(pubsub_v1.SubscriberClient)
        self._connection = connection

    @cached_property
    def service(self) -> Service:
        """Reads and creates topics and subscriptions."""
        return Service(self._subscriber, self._connection)

    @cached_property
    def republisher(self) -> Republisher:
        """Publishes what was published before."""
        return Republisher(self._connection)

    def waiting(self, path: str) -> WaitingMessages:
        """What waits in the subscription at ``path``."""
        return WaitingMessages(self._subscriber, path)

    def position(self, path: str) -> Position:
        """The position of the subscription at ``path``."""
        return Position(self._subscriber, path)

    @contextmanager
    def copy(self, topic: str, original: Any = None) -> Iterator[WaitingMessages]:
        """Within the block, a subscription of its own, of which nobody else takes messages.

        Args:
            topic: the full path of the topic.
            original: Google's Subscription whose waiting messages it is to have, too.

        Raises:
            ResourceError: Pub/Sub refused it.
        """
        project = str(self._connection.gc_project_id)
        if original is not None:
            project = original.name.split("/")[1]
        with copied(self._subscriber, project, topic, original) as path:
            if original is not None:
                start_as(self.position(original.name), self.position(path), path)
            yield self.waiting(path)

    def create_dead_letter_subscription(self, topic: str) -> str:
        """Create the subscription that keeps the messages of a dead-letter topic; return its path.

        Raises:
            ResourceError: Pub/Sub refused it.
        """
        desired = dead_letter_subscription(topic)
        with explained(CREATE_SUBSCRIPTION, desired.path):
            self.service.create_subscription(desired)
        return desired.path

    def close(self) -> None:
        """Close the connections."""
        self._subscriber.close()
        if "republisher" in vars(self):
            self.republisher.close()
