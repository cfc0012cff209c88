from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.protobuf.duration_pb2 import Duration

from rele import client as client_module
from rele.client import Publisher, Subscriber
from rele.exceptions import NoProjectError
from rele.retry_policy import RetryPolicy
from rele.subscription import Callback, Subscription
from tests.support.recorder import Recorder

GoogleClient = pubsub_v1.PublisherClient
GoogleSubscriber = pubsub_v1.SubscriberClient


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(client_module, "USE_EMULATOR", False)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The class of Google's publisher client, in whose place it is."""
    google = Mock(name="PublisherClient")
    google.return_value = create_autospec(GoogleClient, instance=True)
    google.return_value.topic_path.side_effect = GoogleClient.topic_path
    google.return_value.publish.side_effect = lambda *args, **kwargs: Future()
    monkeypatch.setattr("rele.client.pubsub_v1.PublisherClient", google)
    return google


class TestPublisherOnGooglesClient:
    @pytest.fixture
    def publisher(self, google: Mock) -> Publisher:
        return Publisher("rele", "credentials", json.JSONEncoder, 3.0, {"api_endpoint": "x"})

    def test_makes_it_in_the_constructor(self, publisher: Publisher, google: Mock) -> None:
        google.assert_called_once_with(
            credentials="credentials", client_options={"api_endpoint": "x"}
        )
        assert publisher._client is google.return_value

    @pytest.mark.parametrize("by", ["environment", "flag"])
    def test_has_no_credentials_under_the_emulator(
        self, google: Mock, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        if by == "environment":
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")
        else:
            monkeypatch.setattr(client_module, "USE_EMULATOR", True)

        Publisher("rele", "credentials", json.JSONEncoder, 3.0, None)

        google.assert_called_once_with(credentials=None, client_options=None)

    def test_needs_a_project(self, google: Mock) -> None:
        with pytest.raises(NoProjectError, match="GC_PROJECT_ID"):
            Publisher(None, None, json.JSONEncoder, 3.0, None)

    def test_publishes_to_the_topics_path(
        self, publisher: Publisher, google: Mock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1.5)

        publisher.publish("photos", {"id": 1}, lang="en")

        google.return_value.publish.assert_called_once_with(
            "projects/rele/topics/photos", b'{"id": 1}', published_at="1.5", lang="en"
        )

    def test_the_client_can_be_replaced(self, publisher: Publisher) -> None:
        replacement = create_autospec(GoogleClient, instance=True)
        replacement.publish.return_value = Future()
        publisher._client = replacement

        future = publisher.publish("photos", 1)

        assert publisher._client is replacement
        assert future is replacement.publish.return_value

    def test_a_stand_in_for_the_future_may_time_out(
        self, hooks: Recorder, publisher: Publisher
    ) -> None:
        future = Mock()
        future.result.side_effect = FutureTimeoutError()
        publisher._client = Mock()
        publisher._client.publish.return_value = future

        with pytest.raises(FutureTimeoutError):
            publisher.publish("photos", 1, blocking=True, timeout=9.0)

        future.result.assert_called_once_with(timeout=9.0)
        assert hooks.names == ["pre_publish", "post_publish_failure"]

    def test_what_the_client_raises_is_a_failure_like_any_other(
        self, hooks: Recorder, publisher: Publisher, google: Mock
    ) -> None:
        google.return_value.publish.side_effect = ValueError("too large")

        with pytest.raises(ValueError, match="too large"):
            publisher.publish("photos", 1)

        assert hooks.names == ["pre_publish", "post_publish_failure"]


@pytest.fixture
def google_subscriber(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The class of Google's subscriber client, in whose place it is."""
    google = Mock(name="SubscriberClient")
    google.return_value = create_autospec(GoogleSubscriber, instance=True)
    google.return_value.subscription_path.side_effect = GoogleSubscriber.subscription_path
    google.return_value.topic_path.side_effect = GoogleSubscriber.topic_path
    monkeypatch.setattr("rele.client.pubsub_v1.SubscriberClient", google)
    return google


SUBSCRIPTION_PATH = "projects/rele/subscriptions/shop-photos"
TOPIC_PATH = "projects/rele/topics/photos"


def subscription(**arguments: Any) -> Subscription:
    return Subscription(print, "photos", prefix="shop", **arguments)


class TestSubscriber:
    @pytest.fixture
    def make(self, google_subscriber: Mock) -> Callable[..., Subscriber]:
        return lambda **arguments: Subscriber(
            "rele",
            "credentials",
            arguments.pop("regions", None),
            {"api_endpoint": "x"},
            **arguments,
        )

    def test_makes_googles_client_in_the_constructor(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        subscriber = make()

        google_subscriber.assert_called_once_with(
            credentials="credentials", client_options={"api_endpoint": "x"}
        )
        assert subscriber.credentials == "credentials"

    def test_has_no_credentials_under_the_emulator(
        self,
        make: Callable[..., Subscriber],
        google_subscriber: Mock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(client_module, "USE_EMULATOR", True)

        assert make().credentials is None
        assert google_subscriber.call_args.kwargs["credentials"] is None

    def test_creates_a_subscription_by_one_request(
        self, make: Callable[..., Subscriber], google_subscriber: Mock, google: Mock
    ) -> None:
        make().update_or_create_subscription(subscription())

        google_subscriber.return_value.create_subscription.assert_called_once_with(
            request={"name": SUBSCRIPTION_PATH, "topic": TOPIC_PATH, "ack_deadline_seconds": 60}
        )
        google.assert_not_called()

    def test_states_deadline_filter_and_retry_policy_where_they_are_given(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        make(default_ack_deadline=100).update_or_create_subscription(
            subscription(backend_filter_by="attributes:id", retry_policy=RetryPolicy(1.5, 20))
        )

        google_subscriber.return_value.create_subscription.assert_called_once_with(
            request={
                "name": SUBSCRIPTION_PATH,
                "topic": TOPIC_PATH,
                "ack_deadline_seconds": 100,
                "filter": "attributes:id",
                "retry_policy": pubsub_v1.types.RetryPolicy(
                    minimum_backoff=Duration(seconds=1, nanos=500_000_000),
                    maximum_backoff=Duration(seconds=20),
                ),
            }
        )

    def test_the_default_retry_policy_stands_in(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        make(default_retry_policy=RetryPolicy(5, 50)).update_or_create_subscription(subscription())

        request = google_subscriber.return_value.create_subscription.call_args.kwargs["request"]
        assert request["retry_policy"].minimum_backoff.total_seconds() == 5

    @pytest.mark.parametrize(
        ("regions", "policy"),
        [
            (None, None),
            ([], None),
            (["europe-west1", "us-east1"], ["europe-west1", "us-east1"]),
            (("europe-west1",), ["europe-west1"]),
        ],
    )
    def test_creates_a_missing_topic_and_then_the_subscription(
        self,
        make: Callable[..., Subscriber],
        google_subscriber: Mock,
        google: Mock,
        regions: list[str] | tuple[str] | None,
        policy: list[str] | None,
    ) -> None:
        create = google_subscriber.return_value.create_subscription
        create.side_effect = [exceptions.NotFound("no topic"), None]

        make(regions=regions).update_or_create_subscription(subscription())

        request: dict[str, Any] = {"name": TOPIC_PATH}
        if policy:
            request["message_storage_policy"] = {"allowed_persistence_regions": policy}
        google.assert_called_once_with(
            credentials="credentials", client_options={"api_endpoint": "x"}
        )
        google.return_value.create_topic.assert_called_once_with(request=request)
        assert create.call_count == 2

    def test_a_region_as_a_string_is_deprecated_and_counts(
        self, make: Callable[..., Subscriber], google_subscriber: Mock, google: Mock
    ) -> None:
        create = google_subscriber.return_value.create_subscription
        create.side_effect = [exceptions.NotFound("no topic"), None]

        with pytest.warns(
            DeprecationWarning, match=r"make it a list, \['europe-west1'\]"
        ) as warned:
            make(regions="europe-west1").update_or_create_subscription(subscription())

        assert len(warned) == 1
        [call] = google.return_value.create_topic.call_args_list
        assert call.kwargs["request"]["message_storage_policy"] == {
            "allowed_persistence_regions": ["europe-west1"]
        }

    @pytest.mark.parametrize("regions", [5, {"europe-west1"}, b"europe-west1", [5], True])
    def test_regions_of_another_kind_are_a_type_error(
        self, make: Callable[..., Subscriber], google_subscriber: Mock, regions: Any
    ) -> None:
        with pytest.raises(TypeError, match="message_storage_policy must be a list of regions"):
            make(regions=regions)

    def test_an_existing_one_without_a_stated_policy_is_left_alone(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        google_subscriber.return_value.create_subscription.side_effect = exceptions.AlreadyExists(
            "there"
        )

        make().update_or_create_subscription(subscription())

        google_subscriber.return_value.update_subscription.assert_not_called()

    @pytest.mark.parametrize("stated_by", ["declaration", "default"])
    def test_an_existing_one_gets_the_stated_policy(
        self, make: Callable[..., Subscriber], google_subscriber: Mock, stated_by: str
    ) -> None:
        google_subscriber.return_value.create_subscription.side_effect = exceptions.AlreadyExists(
            "there"
        )
        policy = RetryPolicy(1, 2)
        if stated_by == "declaration":
            make().update_or_create_subscription(subscription(retry_policy=policy))
        else:
            make(default_retry_policy=policy).update_or_create_subscription(subscription())

        google_subscriber.return_value.update_subscription.assert_called_once()
        [request] = google_subscriber.return_value.update_subscription.call_args.kwargs.values()
        assert request["subscription"].name == SUBSCRIPTION_PATH
        assert request["subscription"].retry_policy.maximum_backoff.total_seconds() == 2
        assert request["update_mask"].paths == ["retry_policy"]

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"ack_deadline": 99}, "ack_deadline_seconds"),
            ({"labels": {"team": "shop"}}, "labels"),
            ({"enable_exactly_once_delivery": True}, "enable_exactly_once_delivery"),
        ],
    )
    def test_a_declaration_that_states_more_gets_it(
        self,
        make: Callable[..., Subscriber],
        google_subscriber: Mock,
        options: dict[str, Any],
        field: str,
    ) -> None:
        client = google_subscriber.return_value
        client.get_subscription.return_value = pubsub_v1.types.Subscription(
            name=SUBSCRIPTION_PATH, topic=TOPIC_PATH, ack_deadline_seconds=60
        )

        make().update_or_create_subscription(subscription(**options))

        client.create_subscription.assert_not_called()
        client.update_subscription.assert_called_once()
        [request] = client.update_subscription.call_args.kwargs.values()
        assert request["update_mask"].paths == [field]

    @pytest.mark.parametrize("default", [None, RetryPolicy(5, 50)])
    def test_so_it_does_when_it_is_made_with_a_retry_policy_only_where_one_is_stated(
        self,
        make: Callable[..., Subscriber],
        google_subscriber: Mock,
        google: Mock,
        default: RetryPolicy | None,
    ) -> None:
        client = google_subscriber.return_value
        client.get_subscription.side_effect = exceptions.NotFound("no subscription")

        make(default_ack_deadline=100, default_retry_policy=default).update_or_create_subscription(
            subscription(enable_message_ordering=True)
        )

        client.create_subscription.assert_called_once()
        request = client.create_subscription.call_args.kwargs["request"]
        assert request["enable_message_ordering"]
        assert request["ack_deadline_seconds"] == 100
        assert ("retry_policy" in request) == (default is not None)

    def test_what_is_the_clients_own_matter_changes_nothing_about_it(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        make().update_or_create_subscription(subscription(threads=7, max_messages=7))

        google_subscriber.return_value.create_subscription.assert_called_once_with(
            request={"name": SUBSCRIPTION_PATH, "topic": TOPIC_PATH, "ack_deadline_seconds": 60}
        )

    def test_any_other_refusal_is_raised(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        google_subscriber.return_value.create_subscription.side_effect = (
            exceptions.PermissionDenied("no")
        )

        with pytest.raises(exceptions.PermissionDenied):
            make().update_or_create_subscription(subscription())

    def test_consumes_by_subscribe(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        callback = Callback(subscription())
        with ThreadPoolExecutor(1) as executor:
            scheduler = ThreadScheduler(executor)

            future = make().consume(
                subscription_name="shop-photos", callback=callback, scheduler=scheduler
            )

            google_subscriber.return_value.subscribe.assert_called_once_with(
                SUBSCRIPTION_PATH, callback=callback, scheduler=scheduler
            )
        assert future is google_subscriber.return_value.subscribe.return_value

    def test_closes_its_connection(
        self, make: Callable[..., Subscriber], google_subscriber: Mock
    ) -> None:
        make().close()

        google_subscriber.return_value.close.assert_called_once_with()


def test_a_real_client_connects_to_nobody_when_it_is_made() -> None:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    options = {"api_endpoint": "nowhere.invalid:1"}

    publisher = Publisher("rele", credentials, json.JSONEncoder, 3.0, options)
    subscriber = Subscriber("rele", credentials, None, options)

    assert isinstance(publisher._client, GoogleClient)
    assert isinstance(subscriber._client, GoogleSubscriber)
    subscriber.close()
