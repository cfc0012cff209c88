from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
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
from tests.unit.backends_for_tests import HeldBackend
from tests.unit.conftest import Hooks, raising

GoogleClient = pubsub_v1.PublisherClient
GoogleSubscriber = pubsub_v1.SubscriberClient


@pytest.fixture(autouse=True)
def _no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr(client_module, "USE_EMULATOR", False)


@pytest.fixture
def backend() -> Iterator[HeldBackend]:
    backend = HeldBackend()
    yield backend
    backend.settle_the_rest()


@pytest.fixture
def make_publisher(backend: HeldBackend) -> Callable[..., Publisher]:
    """Make a publisher on the test's backend."""

    def make(
        blocking: bool | None = None,
        timeout: float = 0.01,
        encoder: type[json.JSONEncoder] = json.JSONEncoder,
    ) -> Publisher:
        return Publisher(None, None, encoder, timeout, None, blocking, backend=backend)

    return make


@pytest.fixture
def publisher(make_publisher: Callable[..., Publisher]) -> Publisher:
    return make_publisher()


class TestPublish:
    def test_hands_the_encoded_message_to_the_backend(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        before = time.time()

        publisher.publish("photos", {"id": 1}, lang="en", using="attribute")

        [message] = backend.messages
        published_at = message.attributes.pop("published_at")
        assert message.topic == "photos"
        assert json.loads(message.data) == {"id": 1}
        assert message.attributes == {"lang": "en", "using": "attribute"}
        assert message.ordering_key == ""
        assert before <= float(published_at) <= time.time()

    def test_takes_the_ordering_key_out_of_the_attributes(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        publisher.publish("photos", 1, ordering_key="customer-1")

        [message] = backend.messages
        assert message.ordering_key == "customer-1"
        assert list(message.attributes) == ["published_at"]

    def test_looks_the_time_up_when_it_is_called(
        self, publisher: Publisher, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "time", lambda: 1560244246.863829)

        publisher.publish("photos", 1)

        assert backend.messages[0].attributes == {"published_at": "1560244246.863829"}

    def test_encodes_by_the_encoder(
        self, make_publisher: Callable[..., Publisher], backend: HeldBackend
    ) -> None:
        class Encoder(json.JSONEncoder):
            def default(self, o: Any) -> Any:
                return "encoded"

        make_publisher(encoder=Encoder).publish("photos", object())

        assert backend.messages[0].data == b'"encoded"'

    def test_pre_publish_may_change_the_attributes(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = lambda topic, data, attrs: attrs.update(trace="t")

        publisher.publish("photos", 1)

        assert backend.messages[0].attributes["trace"] == "t"

    def test_what_pre_publish_raises_reaches_the_caller_and_nothing_is_sent(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = raising(ValueError("not this one"))

        with pytest.raises(ValueError, match="not this one"):
            publisher.publish("photos", 1)

        assert backend.messages == []
        assert hooks.names == ["pre_publish"]

    def test_that_does_not_block_runs_the_success_hook_in_the_thread_that_completes_it(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        threads: list[threading.Thread] = []
        hooks.actions["post_publish_success"] = lambda *_: threads.append(
            threading.current_thread()
        )
        future = publisher.publish("photos", {"id": 1}, lang="en")
        assert hooks.names == ["pre_publish"]

        sender = threading.Thread(target=backend.futures[0].set_result, args=["message-1"])
        sender.start()
        sender.join(10)

        assert future.result(timeout=0) == "message-1"
        assert threads == [sender]
        topic, data, attrs = hooks.arguments_of("post_publish_success")
        assert (topic, data, attrs["lang"]) == ("photos", {"id": 1}, "en")
        assert "post_publish_failure" not in hooks.names
        assert backend.flushes == []

    def test_that_does_not_block_runs_the_failure_hook_with_the_data(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        error = exceptions.PermissionDenied("no")
        future = publisher.publish("photos", {"id": 1})

        backend.futures[0].set_exception(error)

        assert future.exception() is error
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, {"id": 1})
        assert "post_publish_success" not in hooks.names

    def test_that_blocks_runs_the_success_hook_here_before_it_returns(
        self, hooks: Hooks, make_publisher: Callable[..., Publisher], backend: HeldBackend
    ) -> None:
        threads: list[threading.Thread] = []
        hooks.actions["post_publish_success"] = lambda *_: threads.append(
            threading.current_thread()
        )
        backend.settles_at_flush = True
        backend.outcome = "message-1"

        future = make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert future.result(timeout=0) == "message-1"
        assert threads == [threading.current_thread()]
        assert backend.flushes == [0]

    @pytest.mark.parametrize("at_flush", [True, False])
    @pytest.mark.parametrize(
        "error",
        [
            exceptions.NotFound("no topic"),
            exceptions.RetryError("gave up", None),
            ValueError("too large"),
        ],
    )
    def test_that_blocks_raises_the_failure_after_the_hook(
        self,
        hooks: Hooks,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        error: Exception,
        at_flush: bool,
    ) -> None:
        backend.settles_at_flush = at_flush
        backend.outcome = error

        with pytest.raises(type(error)) as raised:
            make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert raised.value is error
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, 1)
        assert "post_publish_success" not in hooks.names

    def test_that_times_out_is_a_failure_and_no_success_follows(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            publisher.publish("photos", 1, blocking=True)
        backend.futures[0].set_result("message-1")

        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert isinstance(hooks.arguments_of("post_publish_failure")[1], FutureTimeoutError)

    @pytest.mark.parametrize("error", [FutureTimeoutError, TimeoutError])
    def test_that_times_out_says_what_that_means(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend, error: type[Exception]
    ) -> None:
        backend.outcome = error()

        with pytest.raises(error) as raised:
            publisher.publish("photos", 1, blocking=True, timeout=0.5)

        assert type(raised.value) is error
        assert str(raised.value) == (
            "HeldBackend did not accept the message for the topic 'photos' within 0.5 s. It may "
            "still arrive: sending it goes on. Allow more time with PUBLISHER_TIMEOUT or "
            "publish(timeout=…)."
        )
        assert hooks.arguments_of("post_publish_failure")[1] is raised.value

    def test_a_timeout_that_has_a_text_keeps_it(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = error = TimeoutError("the file system is slow")

        with pytest.raises(TimeoutError) as raised:
            publisher.publish("photos", 1, blocking=True)

        assert raised.value is error

    def test_a_timeout_of_the_call_wins_over_the_publishers(
        self, make_publisher: Callable[..., Publisher]
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            make_publisher(timeout=3600).publish("photos", 1, blocking=True, timeout=0)

    @pytest.mark.parametrize(
        ("of_publisher", "of_call", "blocks"),
        [
            (None, None, False),
            (True, None, True),
            (True, False, False),
            (False, True, True),
        ],
    )
    def test_blocks_as_it_is_told(
        self,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        of_publisher: bool | None,
        of_call: bool | None,
        blocks: bool,
    ) -> None:
        backend.settles_at_flush = True
        backend.outcome = "message-1"

        future = make_publisher(of_publisher).publish("photos", 1, blocking=of_call)

        assert future.done() is blocks

    @pytest.mark.parametrize("blocking", [True, False])
    @pytest.mark.parametrize(
        ("data", "attributes", "error"),
        [
            (object(), {}, TypeError),
            ({}, {"count": 1}, TypeError),
            ({}, {"googclient": "x"}, ValueError),
        ],
    )
    def test_that_cannot_be_encoded_is_a_failure_and_nothing_is_sent(
        self,
        hooks: Hooks,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        data: Any,
        attributes: dict[str, Any],
        error: type[Exception],
    ) -> None:
        with pytest.raises(error):
            publisher.publish("photos", data, blocking=blocking, **attributes)

        topic, exception, message = hooks.arguments_of("post_publish_failure")
        assert (topic, type(exception), message) == ("photos", error, data)
        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert backend.messages == []

    @pytest.mark.parametrize("blocking", [True, False])
    @pytest.mark.parametrize(
        ("data", "outcome"), [(1, ValueError("too large")), (object(), None), (1, None)]
    )
    def test_raise_exception_false_leaves_every_failure_to_hook_and_future(
        self,
        hooks: Hooks,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        data: Any,
        outcome: Exception | None,
    ) -> None:
        backend.outcome = outcome

        future = publisher.publish("photos", data, blocking=blocking, raise_exception=False)
        if not future.done():
            assert hooks.names.count("post_publish_failure") == blocking
            future.set_exception(ValueError("later"))

        assert isinstance(future.exception(), (TypeError, ValueError))
        assert hooks.names == ["pre_publish", "post_publish_failure"]

    def test_a_failure_on_the_spot_is_raised_although_it_does_not_block(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = ValueError("too large")

        with pytest.raises(ValueError, match="too large"):
            publisher.publish("photos", 1)

        assert hooks.names == ["pre_publish", "post_publish_failure"]

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_backend_that_raises_is_a_failure_like_any_other(
        self,
        hooks: Hooks,
        publisher: Publisher,
        backend: HeldBackend,
        blocking: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        error = RuntimeError("down")
        monkeypatch.setattr(backend, "send", raising(error))

        with pytest.raises(RuntimeError, match="down"):
            publisher.publish("photos", 1, blocking=blocking)

        assert hooks.names == ["pre_publish", "post_publish_failure"]
        assert hooks.arguments_of("post_publish_failure") == ("photos", error, 1)

    def test_a_backend_that_cannot_send_at_once_is_logged_and_the_publish_waits_on(
        self,
        hooks: Hooks,
        make_publisher: Callable[..., Publisher],
        backend: HeldBackend,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def fail(timeout: float | None) -> None:
            threading.Timer(0.01, backend.futures[0].set_result, ["message-1"]).start()
            raise RuntimeError("down")

        monkeypatch.setattr(backend, "flush", fail)

        future = make_publisher(timeout=10).publish("photos", 1, blocking=True)

        assert future.result(timeout=0) == "message-1"
        assert "post_publish_success" in hooks.names
        [record] = [r for r in caplog.records if r.name == "rele.client"]
        assert "could not send at once" in record.getMessage()
        assert "down" in caplog.text

    def test_what_a_deferring_backend_never_accepted_is_a_failure_here(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.defers_outcome = True

        with pytest.raises(TypeError):
            publisher.publish("photos", object())

        assert hooks.names == ["pre_publish", "post_publish_failure"]

    def test_an_outcome_hook_that_raises_does_not_fail_the_publish(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["post_publish_success"] = raising(ValueError())
        backend.outcome = "message-1"

        assert publisher.publish("photos", 1, blocking=True).result() == "message-1"

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_backend_that_defers_the_outcome_leaves_the_hooks_to_who_sends(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend, blocking: bool
    ) -> None:
        backend.defers_outcome = True
        backend.outcome = "message-1"

        publisher.publish("photos", 1, blocking=blocking)

        assert hooks.names == ["pre_publish"]

    def test_what_such_a_backend_has_not_accepted_yet_is_waited_for(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.defers_outcome = True

        publisher.publish("photos", 1, blocking=False)

        assert not publisher.flush(0)
        assert hooks.names == ["pre_publish"]

    @pytest.mark.parametrize("blocking", [True, False])
    def test_what_such_a_backend_does_not_accept_has_failed(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend, blocking: bool
    ) -> None:
        backend.defers_outcome = True
        backend.outcome = ValueError("refused")

        publisher.publish("photos", 1, blocking=blocking, raise_exception=False)

        assert hooks.names == ["pre_publish", "post_publish_failure"]

    def test_a_middleware_that_has_post_publish_is_still_told(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        publisher.publish("photos", 1)

        assert hooks.names == ["pre_publish", "post_publish_success", "post_publish"]

    def test_from_many_threads_runs_one_outcome_hook_each(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda n: publisher.publish("photos", n), range(100)))
        for future in backend.futures:
            future.set_result("message")

        assert hooks.names.count("post_publish_success") == 100


class TestFlush:
    def test_asks_the_backend_and_waits_for_the_hooks(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.settles_at_flush = True
        backend.outcome = "message-1"
        publisher.publish("photos", 1)

        assert publisher.flush(10)

        assert hooks.names[-2:] == ["post_publish_success", "post_publish"]

    def test_tells_that_something_was_not_sent(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        publisher.publish("photos", 1)

        assert not publisher.flush(0)

    def test_tells_of_a_publish_that_has_timed_out_and_may_still_arrive(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        with pytest.raises(FutureTimeoutError):
            publisher.publish("photos", 1, blocking=True)

        assert not publisher.flush(0)
        backend.futures[0].set_result("message-1")
        assert publisher.flush(0)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The class of Google's publisher client, in whose place it is."""
    google = Mock(name="PublisherClient")
    google.return_value = create_autospec(GoogleClient, instance=True)
    google.return_value.topic_path.side_effect = GoogleClient.topic_path
    google.return_value.publish.side_effect = lambda *args, **kwargs: Future()
    monkeypatch.setattr("rele.client.pubsub_v1.PublisherClient", google)
    return google


class TestPublishMany:
    def test_hands_all_to_the_backend_at_once(
        self, publisher: Publisher, backend: HeldBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send = Mock(side_effect=backend.send)
        monkeypatch.setattr(backend, "send", send)

        futures = publisher.publish_many(
            "photos", iter([1, ({"id": 2}, {"lang": "en", "ordering_key": "k"}), [3, {}]])
        )

        send.assert_called_once()
        assert futures == backend.futures
        assert [json.loads(message.data) for message in backend.messages] == [1, {"id": 2}, [3, {}]]
        assert [message.ordering_key for message in backend.messages] == ["", "k", ""]
        assert backend.messages[1].attributes.keys() == {"lang", "published_at"}

    def test_nothing_to_publish_is_fine(self, publisher: Publisher, backend: HeldBackend) -> None:
        assert publisher.publish_many("photos", [], blocking=True) == []

    def test_each_message_has_its_hooks(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        publisher.publish_many("photos", [1, 2], blocking=True)

        success = ["post_publish_success", "post_publish"]
        assert hooks.names == ["pre_publish", "pre_publish", *success, *success]

    @pytest.mark.parametrize("blocking", [True, False])
    def test_one_that_cannot_be_encoded_is_raised_and_the_others_are_sent(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend, blocking: bool
    ) -> None:
        backend.outcome = "message-1"

        with pytest.raises(TypeError, match="not JSON serializable"):
            publisher.publish_many("photos", [1, object(), 3], blocking=blocking)

        assert [message.data for message in backend.messages] == [b"1", b"3"]
        assert hooks.names.count("post_publish_failure") == 1
        assert hooks.names.count("post_publish_success") == 2

    def test_without_raising_the_future_tells(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        backend.outcome = "message-1"

        good, bad = publisher.publish_many("photos", [1, object()], raise_exception=False)

        assert good.result(timeout=0) == "message-1"
        assert isinstance(bad.exception(timeout=0), TypeError)

    def test_a_hook_that_refuses_one_refuses_all_before_anything_is_sent(
        self, hooks: Hooks, publisher: Publisher, backend: HeldBackend
    ) -> None:
        hooks.actions["pre_publish"] = raising(PermissionError("not today"))

        with pytest.raises(PermissionError):
            publisher.publish_many("photos", [1, 2])

        assert backend.messages == []

    def test_the_timeout_is_that_of_all_together(
        self, publisher: Publisher, backend: HeldBackend
    ) -> None:
        before = time.monotonic()

        futures = publisher.publish_many(
            "photos", range(20), blocking=True, timeout=0.2, raise_exception=False
        )

        assert time.monotonic() - before < 2
        assert not any(future.done() for future in futures)
        backend.settle_the_rest()


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
        self, hooks: Hooks, publisher: Publisher
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
        self, hooks: Hooks, publisher: Publisher, google: Mock
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
