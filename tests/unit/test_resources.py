from __future__ import annotations

from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from rele.exceptions import ResourceError
from rele.resources import (
    PAUSE_WITHOUT_RETRY_POLICY,
    Resources,
    create_topic,
    to_google_retry_policy,
)
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription

SUBSCRIPTION_PATH = "projects/rele/subscriptions/photos"
TOPIC_PATH = "projects/rele/topics/photos"


class Server:
    """What a project has, behind Google's two clients."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, pubsub_v1.types.Subscription] = {}
        self.topics: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.subscriber = create_autospec(pubsub_v1.SubscriberClient, instance=True)
        self.subscriber.subscription_path.side_effect = pubsub_v1.SubscriberClient.subscription_path
        self.subscriber.get_subscription.side_effect = self._get
        self.subscriber.create_subscription.side_effect = self._create_subscription
        self.subscriber.update_subscription.side_effect = self._update
        self.publisher = create_autospec(pubsub_v1.PublisherClient, instance=True)
        self.publisher.create_topic.side_effect = self._create_topic
        self.publisher.get_topic.side_effect = self._get_topic

    def _get_topic(self, *, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.topics[request["topic"]]
        except KeyError:
            raise exceptions.NotFound("no such topic") from None

    def _get(self, *, request: dict[str, Any]) -> pubsub_v1.types.Subscription:
        try:
            return self.subscriptions[request["subscription"]]
        except KeyError:
            raise exceptions.NotFound("no such subscription") from None

    def _create_subscription(self, *, request: dict[str, Any]) -> None:
        self.requests.append("create subscription")
        if request["topic"] not in self.topics:
            raise exceptions.NotFound("no such topic")
        if request["name"] in self.subscriptions:
            raise exceptions.AlreadyExists("there")
        self.subscriptions[request["name"]] = pubsub_v1.types.Subscription(request)

    def _update(self, *, request: dict[str, Any]) -> None:
        self.requests.append("update subscription")
        [field] = request["update_mask"].paths
        new = request["subscription"]
        setattr(self.subscriptions[new.name], field, getattr(new, field))

    def _create_topic(self, *, request: dict[str, Any]) -> None:
        self.requests.append("create topic")
        if request["name"] in self.topics:
            raise exceptions.AlreadyExists("there")
        self.topics[request["name"]] = request

    def add(self, retry_policy: RetryPolicy | None = None) -> None:
        """Let topic and subscription exist."""
        self.topics[TOPIC_PATH] = {}
        self.subscriptions[SUBSCRIPTION_PATH] = pubsub_v1.types.Subscription(
            name=SUBSCRIPTION_PATH,
            topic=TOPIC_PATH,
            ack_deadline_seconds=17,
            retry_policy=retry_policy and to_google_retry_policy(retry_policy),
        )

    def policy(self) -> tuple[float, float] | None:
        """Minimum and maximum of the subscription's retry policy."""
        actual = self.subscriptions[SUBSCRIPTION_PATH]
        if "retry_policy" not in actual:
            return None
        policy = actual.retry_policy
        return policy.minimum_backoff.total_seconds(), policy.maximum_backoff.total_seconds()


@pytest.fixture
def server() -> Server:
    return Server()


def resources(
    server: Server, retry_policy: RetryPolicy | None = None, regions: Any = None
) -> Resources:
    return Resources("rele", server.subscriber, lambda: server.publisher, regions, 60, retry_policy)


def bring_about(server: Server, *subscriptions: Subscription, **arguments: Any) -> list[str]:
    """Plan and apply; the steps of the plan as text."""
    desired = resources(server, **arguments)
    changes = desired.plan(subscriptions)
    assert server.requests == []
    desired.apply(changes)
    return [str(change) for change in changes]


def test_a_missing_subscription_is_made_together_with_its_topic(server: Server) -> None:
    steps = bring_about(server, Subscription(print, "photos", backend_filter_by="attributes:id"))

    assert steps == [f"create topic {TOPIC_PATH}", f"create subscription {SUBSCRIPTION_PATH}"]
    assert server.topics == {TOPIC_PATH: {"name": TOPIC_PATH}}
    made = server.subscriptions[SUBSCRIPTION_PATH]
    assert made.topic == TOPIC_PATH
    assert made.ack_deadline_seconds == 60
    assert made.filter == "attributes:id"


def test_what_was_planned_is_done_once(server: Server) -> None:
    bring_about(server, Subscription(print, "photos"))
    server.requests.clear()

    assert bring_about(server, Subscription(print, "photos")) == []

    assert server.requests == []


def test_two_subscriptions_of_a_missing_topic_are_made(server: Server) -> None:
    bring_about(server, Subscription(print, "photos"), Subscription(print, "photos", suffix="b"))

    assert set(server.subscriptions) == {SUBSCRIPTION_PATH, f"{SUBSCRIPTION_PATH}-b"}


@pytest.mark.parametrize(
    ("declared", "default", "policy"),
    [
        (None, None, (10, 600)),
        (None, RetryPolicy(2, 20), (2, 20)),
        (RetryPolicy(1, 1.5), RetryPolicy(2, 20), (1, 1.5)),
    ],
)
def test_a_new_subscription_always_has_a_retry_policy(
    server: Server,
    declared: RetryPolicy | None,
    default: RetryPolicy | None,
    policy: tuple[float, float],
) -> None:
    bring_about(server, Subscription(print, "photos", retry_policy=declared), retry_policy=default)

    assert server.policy() == policy


@pytest.mark.parametrize(
    ("actual", "declared", "default", "policy"),
    [
        (None, None, None, None),
        (RetryPolicy(3, 30), None, None, (3, 30)),
        (RetryPolicy(3, 30), RetryPolicy(3, 30), None, (3, 30)),
        (None, RetryPolicy(3, 30), None, (3, 30)),
        (RetryPolicy(5, 50), RetryPolicy(3, 30), RetryPolicy(2, 20), (3, 30)),
        (RetryPolicy(5, 50), None, RetryPolicy(2, 20), (2, 20)),
    ],
)
def test_an_existing_one_is_changed_only_in_a_stated_policy(
    server: Server,
    actual: RetryPolicy | None,
    declared: RetryPolicy | None,
    default: RetryPolicy | None,
    policy: tuple[float, float] | None,
) -> None:
    server.add(actual)
    changes = policy is not None and policy != (
        actual and (actual.minimum_backoff, actual.maximum_backoff)
    )

    steps = bring_about(
        server, Subscription(print, "photos", retry_policy=declared), retry_policy=default
    )

    assert steps == [f"update subscription {SUBSCRIPTION_PATH}"] * changes
    assert server.policy() == policy
    assert server.subscriptions[SUBSCRIPTION_PATH].ack_deadline_seconds == 17


@pytest.mark.parametrize(
    ("actual", "stated", "pause"),
    [
        (None, None, PAUSE_WITHOUT_RETRY_POLICY),
        (None, RetryPolicy(1, 2), None),
        (RetryPolicy(1, 2), None, None),
    ],
)
def test_failures_are_held_back_only_where_no_policy_does_it(
    server: Server,
    actual: RetryPolicy | None,
    stated: RetryPolicy | None,
    pause: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.add(actual)
    photos = Subscription(print, "photos", retry_policy=stated)
    desired = resources(server)

    desired.plan([photos])
    desired.plan([photos])

    assert desired.failure_pause(photos) == pause
    warned = caplog.text.count(f"{SUBSCRIPTION_PATH} has no retry policy")
    assert warned == (pause is not None)


def test_what_another_worker_has_made_in_the_meantime_is_fine(server: Server) -> None:
    desired = resources(server)
    changes = desired.plan([Subscription(print, "photos")])
    server.add()

    desired.apply(changes)

    assert server.subscriptions[SUBSCRIPTION_PATH].ack_deadline_seconds == 17


def test_an_existing_topic_is_fine(server: Server) -> None:
    server.topics[TOPIC_PATH] = {}

    bring_about(server, Subscription(print, "photos"))

    assert SUBSCRIPTION_PATH in server.subscriptions


@pytest.mark.parametrize(
    "error", [exceptions.PermissionDenied("no"), exceptions.InvalidArgument("?")]
)
def test_any_other_refusal_is_raised_and_ends_it(server: Server, error: Exception) -> None:
    server.publisher.create_topic.side_effect = error

    with pytest.raises(ResourceError, match=f"refused to create topic {TOPIC_PATH}"):
        bring_about(server, Subscription(print, "photos"))

    assert server.subscriptions == {}


def test_a_state_that_cannot_be_read_is_raised(server: Server) -> None:
    server.subscriber.get_subscription.side_effect = exceptions.PermissionDenied("no")

    with pytest.raises(ResourceError, match=r"permission pubsub\.subscriptions\.get"):
        resources(server).plan([Subscription(print, "photos")])


def test_no_publisher_client_is_made_where_all_is_there(server: Server) -> None:
    server.add()
    make_topic_client = Mock()

    Resources("rele", server.subscriber, make_topic_client, None, 60, None).plan(
        [Subscription(print, "photos")]
    )

    make_topic_client.assert_not_called()


@pytest.mark.parametrize(
    ("regions", "allowed"),
    [("europe-west1", ["europe-west1"]), (["europe-west1", "us-east1"],) * 2],
)
def test_a_topic_is_kept_in_the_regions_that_are_set(
    server: Server, regions: list[str] | str, allowed: list[str]
) -> None:
    bring_about(server, Subscription(print, "photos"), regions=regions)

    assert server.topics[TOPIC_PATH]["message_storage_policy"] == {
        "allowed_persistence_regions": allowed
    }


@pytest.mark.parametrize("regions", [None, "", []])
def test_a_topic_has_no_region_where_none_is_set(
    server: Server, regions: list[str] | str | None
) -> None:
    create_topic(server.publisher, TOPIC_PATH, regions)

    assert server.topics[TOPIC_PATH] == {"name": TOPIC_PATH}


def test_fractions_of_seconds_are_exact() -> None:
    policy = to_google_retry_policy(RetryPolicy(0.1, 599.9))

    assert policy.minimum_backoff.total_seconds() == 0.1
    assert policy.maximum_backoff.total_seconds() == 599.9


def test_a_topic_that_exists_is_not_made_again(server: Server) -> None:
    server.topics[TOPIC_PATH] = {}

    steps = bring_about(server, Subscription(print, "photos"))

    assert steps == [f"create subscription {SUBSCRIPTION_PATH}"]


def test_who_may_not_look_at_topics_need_not_be_allowed_to_make_any(server: Server) -> None:
    server.topics[TOPIC_PATH] = {}
    server.publisher.get_topic.side_effect = exceptions.PermissionDenied("no")
    server.publisher.create_topic.side_effect = exceptions.PermissionDenied("no")

    bring_about(server, Subscription(print, "photos"))

    assert SUBSCRIPTION_PATH in server.subscriptions


def test_a_topic_of_two_subscriptions_is_made_once(server: Server) -> None:
    steps = bring_about(
        server, Subscription(print, "photos"), Subscription(print, "photos", suffix="b")
    )

    assert steps.count(f"create topic {TOPIC_PATH}") == 1
