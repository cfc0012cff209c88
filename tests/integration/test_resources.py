"""Resources on real servers: what is stated gets there, and nothing else is touched."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import pubsub_v1

import rele
from rele.client import Subscriber
from rele.config import Config
from rele.dead_letter_policy import DeadLetterPolicy
from rele.exceptions import ResourceError
from rele.project.comparison import bring_about, compare
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription
from rele.worker import make_worker
from tests.integration.conftest import stop
from tests.support.inbox import Inbox

DAY = timedelta(days=1)

Configure = Callable[..., Config]


def only_ours(value: Any, reason: str) -> Any:
    """A parameter that Google's emulator refuses, unlike the service."""
    return pytest.param(*value, marks=pytest.mark.google_differs(reason))


@pytest.fixture(autouse=True)
def _differences(request: pytest.FixtureRequest, pubsub_server: str) -> None:
    marker = request.node.get_closest_marker("google_differs")
    if marker and request.node.callspec.params["pubsub_server"] == "google":
        request.node.add_marker(pytest.mark.xfail(reason=marker.args[0], strict=True))


@pytest.fixture
def subscriber(pubsub: str) -> Iterator[Any]:
    """Google's client, to look at what is there."""
    with pubsub_v1.SubscriberClient() as client:
        yield client


@pytest.fixture
def actual(subscriber: Any, project_id: str) -> Callable[..., Any]:
    """Google's Subscription of that name."""

    def actual(name: str = "photos", project: str = project_id) -> Any:
        path = f"projects/{project}/subscriptions/{name}"
        return subscriber.get_subscription(request={"subscription": path})

    return actual


def photos(**options: Any) -> Subscription:
    return Subscription(print, "photos", **options)


def apply(config: Config, *subscriptions: Subscription) -> list[str]:
    """What was done, each by its summary without the project's name."""
    done: list[str] = []
    bring_about(config, subscriptions, lambda change: done.append(_text(change.summary)))
    return done


def plan(config: Config, *subscriptions: Subscription) -> list[str]:
    """What would be done."""
    return [_text(change.summary) for change in compare(config, subscriptions).plan.changes]


def _text(summary: str) -> str:
    return re.sub(r"projects/test-\w+/(topics|subscriptions)/", "", summary)


CREATED = ["create topic photos", "create subscription photos"]

NO_LABELS = "labels cannot be updated on Google's emulator"
NO_EXPIRATION = "the expiration policy cannot be updated on Google's emulator"


@pytest.mark.parametrize(
    ("option", "first", "second", "field", "value", "reported"),
    [
        ("ack_deadline", 20, 30, "ack_deadline_seconds", 30, "20 → 30"),
        (
            "retry_policy",
            RetryPolicy(1, 2),
            RetryPolicy(2.5, 600),
            "retry_policy.minimum_backoff",
            timedelta(seconds=2.5),
            "1 s to 2 s → 2.5 s to 600 s",
        ),
        (
            "enable_exactly_once_delivery",
            True,
            False,
            "enable_exactly_once_delivery",
            False,
            "True → False",
        ),
        (
            "message_retention_duration",
            DAY,
            600,
            "message_retention_duration",
            timedelta(minutes=10),
            "86400 s → 600 s",
        ),
        ("retain_acked_messages", False, True, "retain_acked_messages", True, "False → True"),
        only_ours(
            ("expiration_policy", 2 * DAY, DAY, "expiration_policy.ttl", DAY, "172800 s → 86400 s"),
            NO_EXPIRATION,
        ),
        only_ours(
            (
                "expiration_policy",
                DAY,
                "never",
                "expiration_policy.ttl",
                timedelta(0),
                "86400 s → never",
            ),
            NO_EXPIRATION,
        ),
        only_ours(
            (
                "labels",
                {"team": "web", "cost": "42"},
                {"team": "shop"},
                "labels",
                {"team": "shop", "cost": "42"},
                "cost=42 team=web → cost=42 team=shop",
            ),
            NO_LABELS,
        ),
    ],
)
def test_an_option_is_made_changed_and_then_left_alone(
    configure: Configure,
    actual: Callable[..., Any],
    option: str,
    first: Any,
    second: Any,
    field: str,
    value: Any,
    reported: str,
) -> None:
    config = configure()
    assert apply(config, photos(**{option: first})) == CREATED
    assert plan(config, photos(**{option: first})) == []
    before = actual()

    assert apply(config, photos(**{option: second})) == [
        f"update subscription photos: {option} {reported}"
    ]

    after = actual()
    found = after
    for part in field.split("."):
        found = getattr(found, part)
    assert found == value
    setattr(after, field.split(".")[0], getattr(before, field.split(".")[0]))
    assert after == before
    assert plan(config, photos(**{option: second})) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ack_deadline", 20),
        ("retry_policy", RetryPolicy(1, 2)),
        ("enable_message_ordering", True),
        ("enable_exactly_once_delivery", True),
        ("message_retention_duration", DAY),
        ("retain_acked_messages", True),
        ("expiration_policy", DAY),
        ("expiration_policy", "never"),
        ("labels", {"team": "shop"}),
        ("backend_filter_by", "attributes:id"),
        ("dead_letter_policy", DeadLetterPolicy(max_delivery_attempts=7)),
    ],
)
def test_a_default_of_the_settings_is_made_and_then_as_declared(
    configure: Configure, option: str, value: Any
) -> None:
    config = configure(SUBSCRIPTION_DEFAULTS={option: value})

    assert set(CREATED) <= set(apply(config, photos()))

    assert plan(config, photos()) == []


def test_what_nobody_states_stays_as_somebody_has_set_it(configure: Configure) -> None:
    apply(configure(), photos(ack_deadline=20, retain_acked_messages=True, labels={"a": "b"}))

    assert plan(configure(), photos()) == []


@pytest.mark.parametrize(
    ("first", "second", "reported"),
    [
        (
            {"backend_filter_by": "attributes:id"},
            {"backend_filter_by": "attributes:size"},
            "backend_filter_by attributes:id → attributes:size",
        ),
        (
            {},
            {"enable_message_ordering": True},
            "enable_message_ordering False → True",
        ),
    ],
)
def test_what_is_fixed_is_reported_and_consumed_as_it_is(
    configure: Configure,
    run_worker: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    first: dict[str, Any],
    second: dict[str, Any],
    reported: str,
) -> None:
    apply(configure(), photos(**first))
    inbox = Inbox()

    run_worker(
        [Subscription(lambda data, **attributes: inbox.put(data), "photos", **second)],
    )

    rele.publish("photos", 1, id="x")
    assert inbox.wait_for(1) == [1]
    [error] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert f"cannot change subscription photos: {reported}" in _text(error.getMessage())


def test_a_deleted_topic_is_reported_with_what_to_do(
    configure: Configure, project_id: str, subscriber: Any
) -> None:
    config = configure()
    apply(config, photos())
    with pubsub_v1.PublisherClient() as publisher:
        publisher.delete_topic(request={"topic": f"projects/{project_id}/topics/photos"})

    assert plan(config, photos()) == [
        "cannot change subscription photos: topic _deleted-topic_ → photos"
    ]

    subscriber.delete_subscription(
        request={"subscription": f"projects/{project_id}/subscriptions/photos"}
    )
    assert apply(config, photos()) == CREATED


class TestDeadLetters:
    def test_their_topic_and_its_subscription_are_made_and_then_left(
        self, configure: Configure, actual: Callable[..., Any], project_id: str, pubsub_server: str
    ) -> None:
        config = configure()

        apply(config, photos(dead_letter_policy=DeadLetterPolicy()))

        topic = f"projects/{project_id}/topics/photos-dead-letter"
        assert actual().dead_letter_policy.dead_letter_topic == topic
        assert actual().dead_letter_policy.max_delivery_attempts == 10
        keeper = actual("photos-dead-letter")
        assert keeper.topic == topic
        assert "expiration_policy" in keeper
        assert not keeper.expiration_policy.ttl
        assert plan(config, photos(dead_letter_policy=DeadLetterPolicy())) == []

    def test_they_are_kept_for_as_long_as_the_server_can(
        self, configure: Configure, actual: Callable[..., Any], request: pytest.FixtureRequest
    ) -> None:
        apply(configure(), photos(dead_letter_policy=DeadLetterPolicy()))

        longest = 7 if request.node.callspec.params["pubsub_server"] == "google" else 31
        assert actual("photos-dead-letter").message_retention_duration == longest * DAY

    def test_an_existing_subscription_gets_a_policy_and_another(
        self, configure: Configure, actual: Callable[..., Any], project_id: str
    ) -> None:
        config = configure()
        apply(config, photos())

        apply(config, photos(dead_letter_policy=DeadLetterPolicy()))
        done = apply(config, photos(dead_letter_policy=DeadLetterPolicy("graves", 20)))

        assert done == [
            "create topic graves",
            "create subscription graves",
            (
                "update subscription photos: dead_letter_policy photos-dead-letter after 10 "
                "deliveries → graves after 20 deliveries"
            ),
        ]
        assert actual().dead_letter_policy.max_delivery_attempts == 20

    def test_a_topic_of_another_project_has_its_subscription_there(
        self, configure: Configure, actual: Callable[..., Any], project_id: str
    ) -> None:
        other = f"{project_id}-graves"
        policy = DeadLetterPolicy(f"projects/{other}/topics/all-dead")

        apply(configure(), photos(dead_letter_policy=policy))

        assert actual("all-dead", other).topic == f"projects/{other}/topics/all-dead"
        assert actual().dead_letter_policy.dead_letter_topic == policy.dead_letter_topic

    def test_what_fails_too_often_is_there_to_be_read(
        self, configure: Configure, subscriber: Any, project_id: str, run_worker: Any
    ) -> None:
        def fail(data: Any, **attributes: Any) -> None:
            raise ValueError("never")

        run_worker(
            [
                Subscription(
                    fail,
                    "photos",
                    dead_letter_policy=DeadLetterPolicy(max_delivery_attempts=5),
                    retry_policy=RetryPolicy(0.01, 0.02),
                )
            ]
        )

        rele.publish("photos", {"id": 7})

        path = f"projects/{project_id}/subscriptions/photos-dead-letter"
        response = subscriber.pull(
            request={"subscription": path, "max_messages": 1}, timeout=30, retry=None
        )
        assert [each.message.data for each in response.received_messages] == [b'{"id": 7}']


def test_orphans_are_found_under_the_prefix(configure: Configure) -> None:
    config = configure(SUB_PREFIX="shop")
    apply(
        config,
        photos(prefix="shop", dead_letter_policy=DeadLetterPolicy()),
        photos(prefix="shop", suffix="old"),
        photos(prefix="other"),
    )

    comparison = compare(config, [photos(prefix="shop")])

    assert [path.split("/")[-1] for path in comparison.orphans] == ["shop-photos-old"]


def test_a_subscriber_built_directly_makes_what_a_declaration_states(
    pubsub: str, project_id: str, actual: Callable[..., Any]
) -> None:
    subscriber = Subscriber(project_id, None, None, None)

    subscriber.update_or_create_subscription(photos(ack_deadline=20))
    subscriber.update_or_create_subscription(photos(ack_deadline=30, retain_acked_messages=True))
    subscriber.close()

    assert actual().ack_deadline_seconds == 30
    assert actual().retain_acked_messages
    assert "retry_policy" not in actual()


class TestVerify:
    def test_refuses_what_is_missing_and_makes_nothing(
        self, configure: Configure, subscriber: Any, project_id: str
    ) -> None:
        worker = make_worker([photos()], configure(RESOURCES="verify"))

        with pytest.raises(ResourceError, match=r"create subscription .*/photos\n"):
            worker.setup()

        assert (
            list(subscriber.list_subscriptions(request={"project": f"projects/{project_id}"})) == []
        )
        stop(worker)

    def test_consumes_what_is_as_declared(self, configure: Configure, run_worker: Any) -> None:
        inbox = Inbox()
        declared = Subscription(lambda data, **attributes: inbox.put(data), "photos")
        apply(configure(), declared)

        run_worker([declared], RESOURCES="verify")

        rele.publish("photos", 1)
        assert inbox.wait_for(1) == [1]


MAY_BE_CALLED_BY_A_SUBSCRIBER = {"StreamingPull", "Acknowledge", "ModifyAckDeadline"}
"""What roles/pubsub.subscriber allows, of what the server has (the permission is
pubsub.subscriptions.consume)."""


def test_ignore_calls_only_what_consuming_takes(
    embedded_server: str,
    project_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    inbox = Inbox()
    declared = Subscription(
        lambda data, **attributes: inbox.put(data),
        "photos",
        ack_deadline=30,
        dead_letter_policy=DeadLetterPolicy(),
    )
    settings = {"GC_PROJECT_ID": project_id, "MIDDLEWARE": []}
    apply(rele.setup(settings), photos())
    rele.publish("photos", 1, blocking=True)

    with caplog.at_level(logging.DEBUG, "rele.emulator"):
        caplog.clear()
        worker = make_worker([declared], Config({**settings, "RESOURCES": "ignore"}))
        worker.setup()
        worker.start()
        inbox.wait_for(1)
        stop(worker)

    calls = {record.getMessage() for record in caplog.records if record.name == "rele.emulator"}
    assert "StreamingPull" in calls
    assert calls <= MAY_BE_CALLED_BY_A_SUBSCRIBER
