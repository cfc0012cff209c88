"""A project behind Google's two clients, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from rele.dead_letter_policy import DeadLetterPolicy
from rele.declaration.options import SubscriptionOptions
from rele.engine.connection import Connection
from rele.resources import DEFAULT_RETRY_POLICY, Resources
from rele.subscription import Subscription

SUBSCRIPTIONS, TOPICS = "projects/rele/subscriptions/", "projects/rele/topics/"


class FakeProject:
    """What there is, and what was asked to be changed."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, pubsub_v1.types.Subscription] = {}
        self.topics: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        """Those that change something, as ``create topic PATH``."""
        self.masks: list[list[str]] = []
        self.refused: dict[str, Exception] = {}
        """What a call of this method for this path raises, by ``METHOD PATH``."""
        self.subscriber = create_autospec(pubsub_v1.SubscriberClient, instance=True)
        self.publisher = create_autospec(pubsub_v1.PublisherClient, instance=True)
        for client, methods in (
            (self.subscriber, ("get_subscription", "create_subscription", "update_subscription")),
            (self.subscriber, ("list_subscriptions",)),
            (self.publisher, ("get_topic", "create_topic", "list_topic_subscriptions")),
        ):
            for method in methods:
                getattr(client, method).side_effect = self._answering(method)

    def _answering(self, method: str) -> Callable[..., Any]:
        answer = getattr(self, method)

        def call(*, request: dict[str, Any]) -> Any:
            path = next(request[key] for key in _PATH_KEYS if key in request)
            if error := self.refused.get(f"{method} {getattr(path, 'name', path)}"):
                raise error
            return answer(**request)

        return call

    def get_topic(self, topic: str) -> Any:
        self._require(topic in self.topics)
        return self.topics[topic]

    def list_topic_subscriptions(self, topic: str) -> list[str]:
        self._require(topic in self.topics)
        return [name for name, each in self.subscriptions.items() if each.topic == topic]

    def get_subscription(self, subscription: str) -> pubsub_v1.types.Subscription:
        self._require(subscription in self.subscriptions)
        return self.subscriptions[subscription]

    def list_subscriptions(self, project: str) -> list[pubsub_v1.types.Subscription]:
        return [each for name, each in self.subscriptions.items() if name.startswith(project)]

    def create_topic(self, name: str, **fields: Any) -> None:
        self.requests.append(f"create topic {name}")
        self._refuse_known(name in self.topics)
        self.topics[name] = fields

    def create_subscription(self, name: str, topic: str, **fields: Any) -> None:
        self.requests.append(f"create subscription {name}")
        self._refuse_known(name in self.subscriptions)
        made = pubsub_v1.types.Subscription(name=name, topic=topic, **fields)
        self._require(topic in self.topics)
        if "dead_letter_policy" in made:
            self._require(made.dead_letter_policy.dead_letter_topic in self.topics)
        self.subscriptions[name] = made

    def update_subscription(self, subscription: Any, update_mask: Any) -> None:
        self.requests.append(f"update subscription {subscription.name}")
        self.masks.append(list(update_mask.paths))
        for field in update_mask.paths:
            setattr(self.subscriptions[subscription.name], field, getattr(subscription, field))

    def add(self, name: str = "photos", topic: str = "photos", **fields: Any) -> None:
        """Let a subscription and its topic exist."""
        self.topics[TOPICS + topic] = {}
        self.subscriptions[SUBSCRIPTIONS + name] = pubsub_v1.types.Subscription(
            name=SUBSCRIPTIONS + name, topic=TOPICS + topic, ack_deadline_seconds=17, **fields
        )

    @staticmethod
    def _require(is_there: bool) -> None:
        if not is_there:
            raise exceptions.NotFound("no such resource")

    @staticmethod
    def _refuse_known(is_there: bool) -> None:
        if is_there:
            raise exceptions.AlreadyExists("there")


_PATH_KEYS = ("name", "topic", "subscription", "project")


@pytest.fixture
def server() -> FakeProject:
    return FakeProject()


class ConnectionTo(Connection):
    """A connection of the project ``rele``, whose client for topics is the server's."""

    def __init__(self, server: FakeProject, regions: Any = None) -> None:
        super().__init__("rele", regions=regions)
        object.__setattr__(self, "make_client", Mock(return_value=server.publisher))


def resources(server: FakeProject, regions: Any = None, **defaults: Any) -> Resources:
    """As ``RELE["SUBSCRIPTION_DEFAULTS"]`` states ``defaults``."""
    return Resources(
        ConnectionTo(server, regions),
        server.subscriber,
        defaults=SubscriptionOptions(**defaults),
        for_new=SubscriptionOptions(ack_deadline=60, retry_policy=DEFAULT_RETRY_POLICY),
    )


def photos(**options: Any) -> Subscription:
    """A subscription of the topic ``photos``."""
    return Subscription(print, "photos", **options)


def with_dead_letters(topic: str | None = None) -> Subscription:
    """The same, with a dead-letter policy."""
    return photos(dead_letter_policy=DeadLetterPolicy(topic))


def bring_about(server: FakeProject, *subscriptions: Subscription, **arguments: Any) -> list[str]:
    """Plan and apply; the steps of the plan as text."""
    desired = resources(server, **arguments)
    plan = desired.plan(subscriptions)
    assert server.requests == []
    desired.apply(plan)
    return [str(change) for change in plan.changes]
