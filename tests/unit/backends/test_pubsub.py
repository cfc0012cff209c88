from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, create_autospec

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.publisher.exceptions import PublishToPausedOrderingKeyException

from rele.backends import Message
from rele.backends.pubsub import PubSubBackend
from rele.exceptions import NoProjectError
from tests.support.backends import futures_of

GoogleClient = pubsub_v1.PublisherClient


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """The class of Google's client, in whose place it is; each call makes another client."""

    def make(**arguments: Any) -> Any:
        client = create_autospec(GoogleClient, instance=True)
        client.topic_path.side_effect = GoogleClient.topic_path
        client.publish.side_effect = lambda *args, **kwargs: Future()
        google.made.append(client)
        return client

    google = Mock(side_effect=make, made=[])
    monkeypatch.setattr("rele.engine.google.publisher.pubsub_v1.PublisherClient", google)
    return google


@pytest.fixture
def backend(google: Mock) -> PubSubBackend:
    return PubSubBackend(configuration())


def configuration(project: str | None = "rele") -> Any:
    return SimpleNamespace(
        gc_project_id=project, credentials="credentials", client_options={"api_endpoint": "x"}
    )


def test_makes_googles_client_from_the_configuration(backend: PubSubBackend, google: Mock) -> None:
    google.assert_called_once_with(credentials="credentials", client_options={"api_endpoint": "x"})
    assert backend.client is google.made[0]


def test_needs_a_project(google: Mock) -> None:
    with pytest.raises(NoProjectError):
        PubSubBackend(configuration(project=None))

    google.assert_not_called()


def test_sends_each_message_and_gives_the_futures_in_order(backend: PubSubBackend) -> None:
    messages = [Message("photos", b"1", {"lang": "en"}), Message("orders", b"2")]
    expected: list[Future[str]] = [Future(), Future()]
    backend.client.publish.side_effect = expected

    assert futures_of(backend, messages) == expected

    first, second = backend.client.publish.call_args_list
    assert first.args == ("projects/rele/topics/photos", b"1")
    assert first.kwargs == {"lang": "en"}
    assert second.args == ("projects/rele/topics/orders", b"2")
    assert second.kwargs == {}


def test_a_message_that_the_client_refuses_fails_alone(backend: PubSubBackend) -> None:
    error = ValueError("too large")
    accepted: Future[str] = Future()
    backend.client.publish.side_effect = [error, accepted]

    refused, sent = futures_of(backend, [Message("photos", b"1"), Message("photos", b"2")])

    assert refused.exception(timeout=0) is error
    assert sent is accepted


class TestOrdering:
    @pytest.fixture
    def send(self, backend: PubSubBackend) -> Callable[[], Future[str]]:
        return lambda: futures_of(backend, [Message("photos", b"1", {"lang": "en"}, "customer-1")])[
            0
        ]

    def test_uses_a_client_of_its_own(
        self, send: Callable[[], Future[str]], backend: PubSubBackend, google: Mock
    ) -> None:
        send()
        send()

        plain, ordered = google.made
        assert google.call_args.kwargs["credentials"] == "credentials"
        assert google.call_args.kwargs["publisher_options"].enable_message_ordering
        plain.publish.assert_not_called()
        assert ordered.publish.call_count == 2
        ordered.publish.assert_called_with(
            "projects/rele/topics/photos", b"1", ordering_key="customer-1", lang="en"
        )

    def test_goes_on_with_the_key_after_a_failure(
        self, send: Callable[[], Future[str]], google: Mock
    ) -> None:
        send()
        ordered = google.made[1]
        refused, accepted = Future[str](), Future[str]()
        refused.set_exception(PublishToPausedOrderingKeyException("customer-1"))
        ordered.publish.side_effect = [refused, accepted]

        future = send()

        ordered.resume_publish.assert_called_once_with("projects/rele/topics/photos", "customer-1")
        accepted.set_result("message-1")
        assert future.result(timeout=0) == "message-1"

    def test_another_thread_may_have_resumed_the_key(
        self, send: Callable[[], Future[str]], google: Mock
    ) -> None:
        send()
        ordered = google.made[1]
        refused = Future[str]()
        refused.set_exception(PublishToPausedOrderingKeyException("customer-1"))
        ordered.publish.side_effect = [refused, Future[str]()]
        ordered.resume_publish.side_effect = RuntimeError("not paused")

        assert not send().done()

    def test_has_nothing_to_go_on_with_after_a_success(
        self, send: Callable[[], Future[str]], google: Mock
    ) -> None:
        send()
        send()

        google.made[1].resume_publish.assert_not_called()

    def test_lets_nothing_overtake_what_failed_in_the_same_call(
        self, backend: PubSubBackend, send: Callable[[], Future[str]], google: Mock
    ) -> None:
        send()
        ordered = google.made[1]
        failed, refused, other = Future[str](), Future[str](), Future[str]()
        refused.set_exception(PublishToPausedOrderingKeyException("customer-1"))
        ordered.publish.side_effect = [failed, refused, other]

        first, second, third = futures_of(
            backend,
            [
                Message("photos", b"1", ordering_key="customer-1"),
                Message("photos", b"2", ordering_key="customer-1"),
                Message("photos", b"3", ordering_key="customer-2"),
            ],
        )

        ordered.resume_publish.assert_not_called()
        assert isinstance(second.exception(timeout=10), PublishToPausedOrderingKeyException)
        assert not first.done()
        assert not third.done()

    def test_lets_nothing_overtake_what_the_client_refused_in_the_same_call(
        self, backend: PubSubBackend, send: Callable[[], Future[str]], google: Mock
    ) -> None:
        send()
        ordered = google.made[1]
        ordered.publish.reset_mock()
        ordered.publish.side_effect = ValueError("too large")

        first, second, third = futures_of(backend, [Message("photos", b"x", {}, "customer-1")] * 3)

        assert isinstance(first.exception(timeout=0), ValueError)
        for later in (second, third):
            assert isinstance(later.exception(timeout=0), PublishToPausedOrderingKeyException)
        assert ordered.publish.call_count == 1


@pytest.mark.parametrize("end", ["flush", "close"])
@pytest.mark.parametrize("specification", [None, GoogleClient])
def test_a_client_that_a_test_has_put_in_its_place_may_be_flushed_and_closed(
    backend: PubSubBackend, end: str, specification: Any
) -> None:
    backend.client = create_autospec(specification, instance=True) if specification else Mock()

    getattr(backend, end)(0)

    assert backend.client.mock_calls == []


def test_what_is_sent_after_closing_is_sent_before_send_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")
    backend = PubSubBackend(configuration())
    sent: list[int] = []

    def gapic_publish(*args: Any, **kwargs: Any) -> Any:
        sent.append(len(kwargs["messages"]))
        return pubsub_v1.types.PublishResponse(message_ids=["1"] * len(kwargs["messages"]))

    monkeypatch.setattr(backend.client, "_gapic_publish", gapic_publish)
    backend.close(10)

    futures = futures_of(backend, [Message("photos", b"1"), Message("photos", b"2")])

    assert [future.result(timeout=0) for future in futures] == ["1", "1"]
    assert sent == [2]


def test_flushing_starts_to_send_what_waits_for_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:1")
    backend = PubSubBackend(configuration())
    backend.client.batch_settings = backend.client.batch_settings._replace(max_latency=3600)
    monkeypatch.setattr(
        backend.client,
        "_gapic_publish",
        lambda *args, **kwargs: pubsub_v1.types.PublishResponse(message_ids=["1"]),
    )
    [future] = futures_of(backend, [Message("photos", b"1")])

    backend.flush(0)

    assert future.result(timeout=10) == "1"
