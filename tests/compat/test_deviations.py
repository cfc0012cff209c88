"""What differs from rele 1.x on purpose: the README's list, one test each.

Those about retry policies need a server, and are in ``tests/integration/test_worker.py``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

import rele
from rele import Callback, Publisher, Subscriber, Subscription, publishing
from rele.backends import Message
from rele.config import Config
from rele.consuming.consumers import options_of
from rele.consuming.worker_plan import plan_of_config
from rele.engine.base import Message as ReceivedByHooks
from rele.engine.connection import Connection
from rele.engine.native.consuming.flow import Flow
from rele.exceptions import PublisherFull
from rele.middleware import BaseMiddleware
from rele.sending.publisher import Publisher as SendingPublisher
from rele.testing import deliver
from tests.support.backends import HeldBackend
from tests.support.in_use import register
from tests.support.publish_server import PublishServer

REPOSITORY = Path(__file__).parents[2]


def test_each_row_of_the_readme_has_a_test_and_the_other_way_round() -> None:
    readme = (REPOSITORY / "README.rst").read_text(encoding="utf-8")
    table = readme.split("Different on purpose\n")[1].split("\n----")[0]
    rows = table.split("   * - ")[2:]
    named = [re.findall(r"^ +\.\. (test_\w+)$", row, re.MULTILINE) for row in rows]
    here = {name for name in globals() if name.startswith("test_")}
    with_a_server = (REPOSITORY / "tests/integration/test_worker.py").read_text(encoding="utf-8")

    assert len(rows) >= 15
    assert all(len(tests) == 1 for tests in named), rows
    elsewhere = {test for [test] in named} - here
    assert all(f"def {test}(" in with_a_server for test in elsewhere)
    assert here - {test for [test] in named} == {
        "test_each_row_of_the_readme_has_a_test_and_the_other_way_round"
    }


def test_publish_returns_the_future(rele_messages: list[Message]) -> None:
    assert rele.publish("orders", 1).result() == "1"


def test_a_failed_message_is_nacked_after_the_hooks() -> None:
    message = Mock(data=b"1", attributes={})
    nack = message.nack
    nacked_at_the_hook: list[bool] = []

    class Watch(BaseMiddleware):
        def post_process_message_failure(self, *args: Any) -> None:
            nacked_at_the_hook.append(nack.called)

    register(Watch())

    Callback(Subscription(lambda data, **attrs: 1 / 0, "orders"))(message)

    nack.assert_called_once_with()
    assert nacked_at_the_hook == [False]


def test_hooks_get_a_message_of_reles_own_class() -> None:
    stand_in = Mock(data=b"1", attributes={"lang": "es"}, message_id="7", tenant="shop")
    seen: list[Any] = []

    class Watch(BaseMiddleware):
        def pre_process_message(self, subscription: Any, message: ReceivedByHooks) -> None:
            seen.append(message)
            message.ack()

    register(Watch())

    Callback(Subscription(lambda data, **attrs: None, "orders"))(stand_in)

    [message] = seen
    assert isinstance(message, ReceivedByHooks)
    assert message == stand_in
    assert (message.data, message.message_id, message.tenant) == (b"1", "7", "shop")
    assert message.settled_as == "ack"
    stand_in.ack.assert_called_once_with()


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"", b"[" * 100_000])
def test_undecodable_bytes_are_acknowledged(payload: bytes) -> None:
    delivery = deliver(Subscription(lambda data, **attrs: data, "orders"), payload)

    assert delivery.acked
    assert delivery.exception is not None


def test_filters_may_take_keyword_arguments() -> None:
    subscription = Subscription(
        lambda data, **attrs: data,
        "orders",
        filter_by=(lambda attrs: "lang" in attrs, lambda **attrs: attrs["lang"] == "es"),
    )

    assert deliver(subscription, 1, lang="es").result == 1
    assert deliver(subscription, 1, lang="fr").result is None


@pytest.mark.parametrize("blocking", [True, False])
def test_outcome_hooks_run_for_every_publish(blocking: bool, rele_messages: list[Message]) -> None:
    outcomes: list[str] = []

    class Watch(BaseMiddleware):
        def post_publish_success(self, topic: str, data: Any, attrs: Any) -> None:
            outcomes.append("success")

    register(Watch())

    rele.publish("orders", 1, blocking=blocking)

    assert outcomes == ["success"]


def test_values_whose_names_look_like_those_of_secrets_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.VerboseLoggingMiddleware"]})

    @rele.sub("orders")
    def ship(data: Any, **attributes: Any) -> None: ...

    with caplog.at_level("INFO", logger="rele"):
        deliver(ship, {"id": 17, "password": "hunter2"}, api_key="hunter2", country="ES")

    [record] = [each for each in caplog.records if hasattr(each, "metrics")]
    assert "hunter2" not in record.subscription_message
    assert "17" in record.subscription_message
    logged = record.metrics["data"]["attributes"]
    assert (logged["api_key"], logged["country"]) == ("***", "ES")


def test_a_publish_waits_where_the_process_may_end_without_sending() -> None:
    backend = HeldBackend()

    def main_work_horse() -> Future[str]:  # the name by which RQ's are recognised
        publisher = SendingPublisher(backend, json.JSONEncoder, 10)
        threading.Timer(0.05, backend.settle_the_rest).start()
        return publisher.publish("orders", 1)

    assert main_work_horse().done()


def test_what_a_process_has_not_sent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"GC_PROJECT_ID": "p", "PUBLISHER_LIMITS": {"max_messages": 1}}
    with PublishServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        rele.setup({**settings, "MIDDLEWARE": []})
        held = server.hold()

        first = rele.publish("orders", 1)
        with pytest.raises(PublisherFull):
            rele.publish("orders", 2, timeout=0.1)

        held.release()
        assert first.result(timeout=10)
        publishing.forget()


def test_rele_publish_sends_by_an_engine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")
    settings = {"GC_PROJECT_ID": "rele", "MIDDLEWARE": []}

    with patch("rele.client.pubsub_v1.PublisherClient") as google:
        Config(settings).make_publisher_backend()
        google.assert_not_called()
        Config({**settings, "ENGINE": "google"}).make_publisher_backend()
        google.assert_called_once()
        Publisher("rele", None, json.JSONEncoder, 3.0, None)
        assert google.call_count == 2


def test_only_pubsub_is_dialled(google_topics: list[Any]) -> None:
    worker_addresses = {}
    for endpoint in (None, "eu.example.com", "eu.example.com:8443", "https://eu.example.com"):
        with patch("rele.worker.check_internet_connection", return_value=True) as check:
            rele.Worker([], {"api_endpoint": endpoint} if endpoint else None, "p").start()
        [worker_addresses[endpoint]] = check.call_args.args

    assert worker_addresses == {
        None: "pubsub.googleapis.com:443",
        "eu.example.com": "eu.example.com:443",
        "eu.example.com:8443": "eu.example.com:8443",
        "https://eu.example.com": "eu.example.com:443",
    }


def test_topics_carry_no_storage_region_unless_one_is_set(google_topics: list[Any]) -> None:
    make_subscription_of_orders(Subscriber("p", None, None, None))

    assert google_topics == [{"name": "projects/p/topics/orders"}]


def test_client_options_count_when_a_topic_is_made(google_topics: list[Any]) -> None:
    from google.cloud import pubsub_v1

    make_subscription_of_orders(Subscriber("p", None, None, {"a": 1}))

    pubsub_v1.PublisherClient.assert_called_once_with(credentials=None, client_options={"a": 1})


@pytest.fixture
def google_topics() -> Iterator[list[Any]]:
    """The requests that made topics, where each topic is missing at first."""
    from google.api_core.exceptions import NotFound

    requests: list[Any] = []
    with (
        patch("rele.client.pubsub_v1.PublisherClient") as publisher,
        patch("rele.client.pubsub_v1.SubscriberClient") as subscriber,
    ):
        subscriber.return_value.topic_path = "projects/{}/topics/{}".format
        subscriber.return_value.create_subscription.side_effect = [NotFound("topic"), None]
        publisher.return_value.create_topic.side_effect = lambda request: requests.append(request)
        yield requests


def make_subscription_of_orders(subscriber: Subscriber) -> None:
    subscriber.update_or_create_subscription(rele.Subscription(print, "orders"))


def test_showsubscriptions_shows_the_name_that_will_be_used(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from django.core.management import call_command

    settings.RELE = {"SUB_PREFIX": "shop", "MIDDLEWARE": []}

    call_command("showsubscriptions")

    assert "shop-photo-uploaded" in capsys.readouterr().out


def test_the_context_of_flask_is_one_per_message() -> None:
    from flask import Flask, current_app, g, has_app_context

    app = Flask(__name__)
    rele.setup({"MIDDLEWARE": ["rele.contrib.FlaskMiddleware"]}, flask_app=app)
    seen: list[object] = []

    def remember(data: Any, **attrs: Any) -> None:
        seen.append((current_app.name, "number" in g))
        g.number = data
        if data == 1:
            raise SystemExit("whatever happens")

    def handle_two() -> None:
        deliver(Subscription(remember, "orders"), 1)
        deliver(Subscription(remember, "orders"), 2)
        seen.append(has_app_context())

    thread = threading.Thread(target=handle_two)
    thread.start()
    thread.join()

    assert seen == [(app.name, False), (app.name, False), False]


def test_attributes_are_checked_before_anything_is_sent() -> None:
    publisher = Publisher("p", None, json.JSONEncoder, 1, None, backend=Mock())

    with pytest.raises(TypeError, match="'count'"):
        publisher.publish("orders", 1, count=3)
    with pytest.raises(ValueError, match="100 attributes"):
        publisher.publish("orders", 1, **{f"a{n}": "" for n in range(100)})
    with pytest.raises(ValueError, match="1025 bytes"):
        publisher.publish("orders", 1, note="x" * 1025)
    with pytest.raises(ValueError, match="no topic named 'a b'"):
        publisher.publish("a b", 1)
    with pytest.raises(MessageTooLargeError, match="Pub/Sub takes 10,000,000"):
        publisher.publish("orders", "x" * 9_999_980)

    publisher._backend.send.assert_not_called()


def test_an_async_handler_is_awaited_and_a_generator_is_refused() -> None:
    handled = []

    async def handle(data: Any, **attrs: Any) -> None:
        handled.append(data)

    def generate(data: Any, **attrs: Any) -> Iterator[Any]:
        yield data

    deliver(rele.sub(topic="orders")(handle), 1)

    assert handled == [1]
    with pytest.raises(RuntimeError, match="generator function"):
        rele.sub(topic="orders")(generate)


def test_a_process_leases_few_messages_at_first() -> None:
    config = Config({"GC_PROJECT_ID": "shop"})
    [consumer] = plan_of_config(
        config, Connection("shop"), [Subscription(print, "orders", threads=2)]
    ).consumers
    options = options_of(consumer)

    assert options.max_messages == 1000
    assert Flow(options).limit == 4
