"""The calls of Pub/Sub about topics and subscriptions, through Google's two clients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from google.api_core import exceptions
from google.cloud import pubsub_v1

from rele.engine.connection import Connection
from rele.resources.desired import Desired
from rele.resources.parallel_calls import (
    LIST_SUBSCRIPTIONS_OF,
    READ_SUBSCRIPTION,
    READ_TOPIC,
    explained,
)


class Service:
    """Reads and changes topics and subscriptions, which are named by their full paths.

    A method that reads raises ResourceError if Pub/Sub refuses or does not answer. A method that
    changes something raises the errors of Google's client.

    Args:
        subscriber: Google's subscriber client.
        connection: makes the client for topics, when it is needed.
    """

    def __init__(
        self,
        subscriber: Any,
        connection: Connection,
    ) -> None:
        self._subscriber = subscriber
        self._connection = connection

    @cached_property
    def _topics(self) -> Any:
        return topic_client(self._connection)

    def subscription(self, path: str) -> Any:
        """Google's Subscription, or ``None`` if it does not exist."""
        try:
            with explained(READ_SUBSCRIPTION, path, exceptions.NotFound):
                return self._subscriber.get_subscription(request={"subscription": path})
        except exceptions.NotFound:
            return None

    def subscriptions(self, project: str) -> Iterator[str]:
        """The paths of all subscriptions of ``project``, which is ``projects/ID``."""
        return (subscription.name for subscription in self.configurations(project))

    def configurations(self, project: str) -> Iterator[Any]:
        """Google's Subscription of each subscription of ``project``, which is ``projects/ID``."""
        with explained(LIST_SUBSCRIPTIONS_OF, project):
            yield from self._subscriber.list_subscriptions(request={"project": project})

    def has_topic(self, path: str) -> bool:
        """Whether the topic exists; assumed to be so if the credentials may not read it."""
        try:
            with explained(READ_TOPIC, path, exceptions.NotFound, exceptions.PermissionDenied):
                self._topics.get_topic(request={"topic": path})
        except exceptions.NotFound:
            return False
        except exceptions.PermissionDenied:
            return True  # credentials that may not read topics need not create any
        return True

    def has_subscription_on(self, topic: str) -> bool | None:
        """Whether the topic has a subscription; ``None`` if the credentials may not read it."""
        try:
            with explained(READ_TOPIC, topic, exceptions.NotFound, exceptions.PermissionDenied):
                listed = self._topics.list_topic_subscriptions(request={"topic": topic})
                return any(True for _ in listed)
        except exceptions.NotFound:
            return False
        except exceptions.PermissionDenied:
            return None

    def subscriptions_on(self, topic: str) -> list[str] | None:
        """The paths of the topic's subscriptions; ``None`` if the topic does not exist."""
        try:
            with explained(READ_TOPIC, topic, exceptions.NotFound):
                return list(self._topics.list_topic_subscriptions(request={"topic": topic}))
        except exceptions.NotFound:
            return None

    def create_topic(self, path: str) -> None:
        """Create the topic, in the regions that are set."""
        create_topic(self._topics, path, self._connection.regions)

    def create_subscription(self, desired: Desired) -> None:
        """Create the subscription, with its stated options and those for new subscriptions."""
        request = desired.creation_request()
        try:
            self._subscriber.create_subscription(request=request)
        except exceptions.InvalidArgument:
            if not desired.is_for_dead_letters:
                raise
            # Google's emulator (0.8.20) keeps messages for 7 days at most, which is its default.
            del request["message_retention_duration"]
            self._subscriber.create_subscription(request=request)

    def update_subscription(self, request: dict[str, Any]) -> None:
        """Change a subscription; ``request`` is Google's UpdateSubscriptionRequest."""
        self._subscriber.update_subscription(request=request)


def topic_client(connection: Connection) -> Any:
    """Google's publisher client, which also reads and creates topics."""
    return connection.make_client(pubsub_v1.PublisherClient)


def create_topic(client: Any, path: str, regions: Sequence[str] | None) -> None:
    """Create a topic; if ``regions`` are given, its messages are stored only there."""
    request: dict[str, Any] = {"name": path}
    if regions:
        request["message_storage_policy"] = {"allowed_persistence_regions": list(regions)}
    client.create_topic(request=request)
