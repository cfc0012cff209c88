"""The places that users' own tests patch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import StringIO
from typing import Any
from unittest.mock import ANY, MagicMock, Mock, patch

import pytest
from django.core.management import call_command
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler

import rele
from rele import Callback, Publisher, Subscriber, Subscription, Worker
from rele.config import Config
from rele.worker import NotConnectionError

CREDENTIALS = object()


@pytest.fixture
def google() -> Iterator[Any]:
    """Both of Google's client classes, patched where users patch them."""
    with (
        patch("rele.client.pubsub_v1.PublisherClient") as publisher,
        patch("rele.client.pubsub_v1.SubscriberClient") as subscriber,
        patch("rele.client.USE_EMULATOR", False),
    ):
        for client in (publisher.return_value, subscriber.return_value):
            client.topic_path = lambda project, topic: f"projects/{project}/topics/{topic}"
            client.subscription_path = lambda project, name: (
                f"projects/{project}/subscriptions/{name}"
            )
        yield Mock(publisher=publisher, subscriber=subscriber)


@pytest.fixture
def publisher(google: Any) -> Publisher:
    publisher = Publisher("my-project", CREDENTIALS, json.JSONEncoder, 3.0, {"a": 1})
    publisher._client = MagicMock()
    publisher._client.topic_path.side_effect = lambda project, topic: f"{project}/{topic}"
    publisher._client.publish.return_value = MagicMock(spec=Future)
    return publisher


@pytest.fixture
def worker(google: Any) -> Iterator[Worker]:
    with patch("rele.worker.check_internet_connection", return_value=True):
        with pytest.warns(DeprecationWarning, match="europe-west1") as warned:
            worker = Worker(
                [Subscription(lambda data, **kwargs: data, "cities", prefix="rele")],
                {"api_endpoint": "custom-api.interconnect.example.com"},
                "my-project",
                CREDENTIALS,
                "europe-west1",
                default_ack_deadline=60,
                threads_per_subscription=5,
            )
        assert [warning.filename for warning in warned] == [__file__]
        yield worker


def test_google_clients_are_built_with_credentials_and_client_options(google: Any) -> None:
    Publisher("my-project", CREDENTIALS, json.JSONEncoder, 3.0, {"a": 1})
    Subscriber("my-project", CREDENTIALS, None, {"b": 2})

    google.publisher.assert_called_once_with(credentials=CREDENTIALS, client_options={"a": 1})
    google.subscriber.assert_called_once_with(credentials=CREDENTIALS, client_options={"b": 2})


def test_under_the_emulator_there_are_no_credentials(google: Any) -> None:
    with patch("rele.client.USE_EMULATOR", True):
        assert Subscriber("my-project", CREDENTIALS, None, None).credentials is None
        Publisher("my-project", CREDENTIALS, json.JSONEncoder, 3.0, None)

    google.publisher.assert_called_once_with(credentials=None, client_options=None)


def test_publish_goes_through_the_client_of_the_publisher(publisher: Publisher) -> None:
    with patch("time.time", return_value=1560244246.863829):
        future = publisher.publish("order-cancelled", {"foo": "bar"}, myattr="hello")

    assert future is publisher._client.publish.return_value
    publisher._client.publish.assert_called_once_with(
        "my-project/order-cancelled",
        b'{"foo": "bar"}',
        myattr="hello",
        published_at="1560244246.863829",
    )


def test_a_blocking_publish_waits_by_result_with_its_timeout(publisher: Publisher) -> None:
    future = publisher._client.publish.return_value

    publisher.publish("order-cancelled", {}, blocking=True, timeout=100)
    future.result.assert_called_once_with(timeout=100)

    future.result.side_effect = TimeoutError
    with pytest.raises(TimeoutError):
        publisher.publish("order-cancelled", {}, blocking=True)
    publisher.publish("order-cancelled", {}, blocking=True, raise_exception=False)


def test_create_subscription_is_called_with_a_request_alone(google: Any) -> None:
    subscriber = Subscriber("my-project", CREDENTIALS, None, None)

    subscriber.update_or_create_subscription(Subscription(print, "cities", prefix="rele"))

    subscriber._client.create_subscription.assert_called_once_with(
        request={
            "name": "projects/my-project/subscriptions/rele-cities",
            "topic": "projects/my-project/topics/cities",
            "ack_deadline_seconds": 60,
        }
    )
    subscriber._client.update_subscription.assert_not_called()


def test_without_a_retry_policy_an_existing_subscription_is_not_updated(google: Any) -> None:
    from google.api_core.exceptions import AlreadyExists

    subscriber = Subscriber("my-project", CREDENTIALS, None, None)
    subscriber._client.create_subscription.side_effect = AlreadyExists("there")

    subscriber.update_or_create_subscription(Subscription(print, "cities"))

    subscriber._client.update_subscription.assert_not_called()


def test_a_stated_retry_policy_is_updated_by_a_request_alone(google: Any) -> None:
    from google.api_core.exceptions import AlreadyExists

    from rele.retry_policy import RetryPolicy

    subscriber = Subscriber("my-project", CREDENTIALS, None, None, 60, RetryPolicy(10, 50))
    subscriber._client.create_subscription.side_effect = AlreadyExists("there")

    subscriber.update_or_create_subscription(Subscription(print, "cities"))

    subscriber._client.update_subscription.assert_called_once_with(request=ANY)
    request = subscriber._client.update_subscription.call_args.kwargs["request"]
    assert request["update_mask"].paths == ["retry_policy"]
    assert request["subscription"].retry_policy.maximum_backoff.total_seconds() == 50


def test_a_missing_topic_is_created_by_a_request_alone(google: Any) -> None:
    from google.api_core.exceptions import NotFound

    subscriber = Subscriber("my-project", CREDENTIALS, ["europe-west1"], {"b": 2})
    subscriber._client.create_subscription.side_effect = [NotFound("topic"), None]

    subscriber.update_or_create_subscription(Subscription(print, "cities"))

    google.publisher.assert_called_once_with(credentials=CREDENTIALS, client_options={"b": 2})
    google.publisher.return_value.create_topic.assert_called_once_with(
        request={
            "name": "projects/my-project/topics/cities",
            "message_storage_policy": {"allowed_persistence_regions": ["europe-west1"]},
        }
    )


def test_consume_subscribes_with_callback_and_scheduler_by_keyword(google: Any) -> None:
    subscriber = Subscriber("my-project", CREDENTIALS, None, None)

    future = subscriber.consume(subscription_name="cities", callback=print, scheduler="s")

    assert future is subscriber._client.subscribe.return_value
    subscriber._client.subscribe.assert_called_once_with(
        "projects/my-project/subscriptions/cities", callback=print, scheduler="s"
    )


def test_the_worker_consumes_by_keyword_with_a_thread_scheduler(worker: Worker) -> None:
    with patch.object(Subscriber, "consume") as consume:
        worker.start()

    consume.assert_called_once_with(subscription_name="rele-cities", callback=ANY, scheduler=ANY)
    arguments = consume.call_args.kwargs
    assert isinstance(arguments["callback"], Callback)
    assert isinstance(arguments["scheduler"], ThreadScheduler)
    assert isinstance(arguments["scheduler"]._executor, ThreadPoolExecutor)
    assert arguments["scheduler"]._executor._max_workers == 5


def test_the_worker_sets_up_by_the_subscriber(worker: Worker) -> None:
    with patch.object(Subscriber, "update_or_create_subscription") as create:
        worker.setup()

    create.assert_called_once_with(worker._subscriptions[0])


def test_run_forever_sets_up_starts_and_waits(worker: Worker) -> None:
    with (
        patch.object(worker, "_wait_forever") as wait_forever,
        patch.object(Subscriber, "update_or_create_subscription") as create,
        patch.object(Subscriber, "consume") as consume,
    ):
        worker.run_forever(sleep_interval=127)

    create.assert_called_once()
    consume.assert_called_once()
    wait_forever.assert_called_once_with(127)


def test_check_internet_connection_gets_the_address_and_decides(worker: Worker) -> None:
    with patch("rele.worker.check_internet_connection", return_value=False) as check:
        with pytest.raises(NotConnectionError, match=r"custom-api\.interconnect\.example\.com"):
            worker.start()

    check.assert_called_once_with("custom-api.interconnect.example.com:443")


def test_stop_exits_with_status_0(worker: Worker) -> None:
    with patch.object(Subscriber, "consume"):
        worker.start()

    with pytest.raises(SystemExit) as exit_:
        worker.stop()

    assert exit_.value.code == 0


def test_get_google_defaults_is_asked_at_the_config_module() -> None:
    with patch("rele.config.get_google_defaults", return_value=("them", "their-project")):
        config = Config({})

        assert (config.credentials, config.gc_project_id) == ("them", "their-project")


def test_setup_calls_init_global_publisher_of_the_config_module() -> None:
    with patch("rele.config.init_global_publisher") as init:
        config = rele.setup({"GC_PROJECT_ID": "p", "MIDDLEWARE": []})

    init.assert_called_once_with(config)


def test_the_flask_middleware_is_set_up_with_the_keywords_of_setup() -> None:
    with patch("rele.contrib.FlaskMiddleware.setup", return_value=None) as setup:
        config = rele.setup({"MIDDLEWARE": ["rele.contrib.FlaskMiddleware"]}, flask_app="app")

    setup.assert_called_once_with(config, flask_app="app")


def test_the_django_db_middleware_closes_connections_by_its_db() -> None:
    from rele.contrib import DjangoDBMiddleware

    with patch("rele.contrib.django_db_middleware.db") as db:
        middleware = DjangoDBMiddleware()
        middleware.pre_process_message(Mock(), Mock())
        middleware.post_process_message()
        middleware.post_worker_stop()

    assert [call[0] for call in db.method_calls] == [
        "close_old_connections",
        "close_old_connections",
        "connections.close_all",
    ]


def test_showsubscriptions_discovers_by_its_own_name() -> None:
    output = StringIO()
    with patch(
        "rele.management.commands.showsubscriptions.discover_subs_modules", return_value=[]
    ) as discover:
        call_command("showsubscriptions", stdout=output)

    discover.assert_called_once_with()
    assert output.getvalue().split()[:3] == ["Topic", "Subscriber(s)", "Sub"]


def test_the_callback_returns_the_result_of_the_handler() -> None:
    message = Mock(data=b'{"id": 1}', attributes={"lang": "es"})
    subscription = Subscription(lambda data, **kwargs: (data, kwargs), "cities")

    assert Callback(subscription)(message) == ({"id": 1}, {"lang": "es"})
    message.ack.assert_called_once_with()


def test_published_at_is_taken_from_time_time(publisher: Publisher) -> None:
    before = time.time()

    publisher.publish("cities", 1)

    attributes = publisher._client.publish.call_args.kwargs
    assert before <= float(attributes["published_at"]) <= time.time()


def test_a_patched_client_leaves_no_trace_in_the_process() -> None:
    """The engine may be imported for the first time while a test has patched Google's client."""
    script = """
from unittest.mock import patch
import rele.client
with patch("rele.client.pubsub_v1.PublisherClient"):
    rele.client.Publisher("rele", None, None, 1, None)
from google.cloud.pubsub_v1 import PublisherClient
from rele.engine.google.batches import is_google_client
client = PublisherClient.__new__(PublisherClient)
assert is_google_client(client)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
