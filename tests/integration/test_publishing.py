"""Outcomes, hooks and delays of publishing, on a real server."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import pytest
from google.api_core.exceptions import NotFound

import rele
from rele.backends.pubsub import PubSubBackend
from rele.config import Config
from rele.middleware import BaseMiddleware
from tests.support.in_use import register
from tests.support.inbox import Inbox
from tests.support.recorder import Recorder

Configure = Callable[..., Config]


SUCCESS, FAILURE = "post_publish_success", "post_publish_failure"


def process_client() -> Any:
    """Google's client, by which the process publishes."""
    backend = rele.publishing.get_publisher().backend
    assert isinstance(backend, PubSubBackend)
    return backend.client


@pytest.fixture
def recorder(configure: Configure) -> Recorder:
    configure()
    recorder = Recorder(hooks=(SUCCESS, FAILURE))
    register(recorder)
    return recorder


@pytest.fixture
def topic(recorder: Recorder, project_id: str) -> str:
    from google.cloud import pubsub_v1

    client = pubsub_v1.PublisherClient()
    client.create_topic(request={"name": f"projects/{project_id}/topics/news"})
    return "news"


def test_a_blocking_publish_runs_the_success_hook_here_before_it_returns(
    recorder: Recorder, topic: str
) -> None:
    future = rele.publish(topic, 1, blocking=True)

    assert future.result(timeout=0)
    [(outcome, published_to, *_)] = recorder.calls
    assert (outcome, published_to) == (SUCCESS, topic)
    assert recorder.threads == [threading.current_thread()]


def test_a_publish_that_does_not_block_runs_the_success_hook_once(
    recorder: Recorder, topic: str
) -> None:
    future = rele.publish(topic, 1)

    [(outcome, *_)] = recorder.wait_for(1)
    assert outcome == SUCCESS
    assert recorder.threads[0] is not threading.current_thread()
    assert future.result(timeout=5)
    assert rele.publishing.flush(5)
    assert len(recorder.calls) == 1


def test_a_missing_topic_fails_a_blocking_publish(recorder: Recorder) -> None:
    with pytest.raises(NotFound):
        rele.publish("missing", 1, blocking=True)

    [(outcome, _, error, _)] = recorder.calls
    assert (outcome, type(error)) == (FAILURE, NotFound)
    assert recorder.threads == [threading.current_thread()]


def test_a_missing_topic_fails_the_future_and_runs_the_failure_hook(recorder: Recorder) -> None:
    future = rele.publish("missing", 1)

    [(outcome, _, error, _)] = recorder.wait_for(1)
    assert (outcome, type(error)) == (FAILURE, NotFound)
    assert isinstance(future.exception(timeout=5), NotFound)


def test_an_event_loop_goes_on_while_a_task_awaits_what_it_publishes(
    recorder: Recorder, topic: str
) -> None:
    async def main() -> list[str]:
        futures = await asyncio.gather(*(rele.apublish(topic, number) for number in range(100)))
        futures += await rele.apublish_many(topic, range(100, 200))
        return [future.result(timeout=0) for future in futures]

    assert len(set(asyncio.run(main()))) == 200
    assert [call[0] for call in recorder.calls] == [SUCCESS] * 200


def test_a_missing_topic_fails_the_task(recorder: Recorder) -> None:
    with pytest.raises(NotFound):
        asyncio.run(rele.apublish("missing", 1))

    [(outcome, _, error, _)] = recorder.calls
    assert (outcome, type(error)) == (FAILURE, NotFound)


NO_TOPIC = (
    "the topic 'missing' does not exist in project {}. Run the worker that subscribes to it, or "
    "create it."
)


@pytest.mark.parametrize("ordering_key", ["", "customer-1"])
def test_a_refusal_says_what_to_do_and_nothing_of_googles_client(
    configure: Configure,
    project_id: str,
    caplog: pytest.LogCaptureFixture,
    ordering_key: str,
) -> None:
    caplog.set_level(logging.DEBUG, logger="rele")
    configure(MIDDLEWARE=["rele.contrib.LoggingMiddleware"])
    line = NO_TOPIC.format(project_id)

    with pytest.raises(NotFound) as raised:
        rele.publish("missing", 1, blocking=True, timeout=30, ordering_key=ordering_key)

    assert type(raised.value) is NotFound
    assert str(raised.value) == f"404 {line}"
    assert raised.value.__cause__ is raised.value.__context__ is None
    own = [frame.path for frame in raised.traceback if "google" in str(frame.path)]
    assert own == []
    failed, origin = [r for r in caplog.records if "failed" in r.getMessage() or r.exc_info]
    assert (failed.levelname, origin.levelname) == ("ERROR", "DEBUG")
    assert failed.getMessage() == f"Publishing to missing failed: {line}"
    assert failed.exc_info is not None
    assert failed.exc_info[1] is raised.value
    assert origin.exc_info is not None
    assert "google" in "".join(traceback.format_exception(*origin.exc_info))
    assert origin.exc_info[1] is not raised.value


def test_a_future_that_fails_says_so_too(recorder: Recorder, project_id: str) -> None:
    error = rele.publish("missing", 1).exception(timeout=30)

    assert isinstance(error, NotFound)
    assert error.message == NO_TOPIC.format(project_id)


def test_raise_exception_false_leaves_it_to_the_hook(recorder: Recorder) -> None:
    future = rele.publish("missing", 1, blocking=True, raise_exception=False)

    assert isinstance(future.exception(), NotFound)
    assert recorder.names == [FAILURE]


def test_a_blocking_publish_does_not_wait_for_the_batching_delay(
    recorder: Recorder, topic: str
) -> None:
    client = process_client()
    client.batch_settings = client.batch_settings._replace(max_latency=3600)

    assert rele.publish(topic, 1, blocking=True, timeout=30).result()


def test_a_publish_that_timed_out_runs_no_success_hook_although_it_arrives(
    recorder: Recorder, topic: str
) -> None:
    client = process_client()
    may_send = threading.Event()
    send = client._gapic_publish

    def send_when_allowed(*args: Any, **kwargs: Any) -> Any:
        may_send.wait(10)
        return send(*args, **kwargs)

    client._gapic_publish = send_when_allowed

    with pytest.raises(FutureTimeoutError):
        rele.publish(topic, 1, blocking=True, timeout=0.01)
    may_send.set()

    future = rele.publish(topic, 2, blocking=True)
    assert future.result(timeout=5)
    assert recorder.names == [FAILURE, SUCCESS]


def test_messages_with_an_ordering_key_arrive_in_order(
    configure: Configure, topic: str, project_id: str
) -> None:
    from google.cloud import pubsub_v1

    subscriber = pubsub_v1.SubscriberClient()
    with subscriber:
        path = f"projects/{project_id}/subscriptions/ordered"
        subscriber.create_subscription(
            request={
                "name": path,
                "topic": f"projects/{project_id}/topics/{topic}",
                "enable_message_ordering": True,
            }
        )
        for number in range(50):
            rele.publish(topic, number, ordering_key="customer-1")
        assert rele.publishing.flush(10)

        received: list[Any] = []
        while len(received) < 50:
            response = subscriber.pull(
                request={"subscription": path, "max_messages": 100}, timeout=20
            )
            received += [m.message for m in response.received_messages]
            subscriber.acknowledge(
                request={
                    "subscription": path,
                    "ack_ids": [m.ack_id for m in response.received_messages],
                }
            )

    assert [int(message.data) for message in received] == list(range(50))
    assert {message.ordering_key for message in received} == {"customer-1"}
    assert "ordering_key" not in received[0].attributes


def test_after_a_failure_a_key_goes_on_and_the_failure_is_seen(
    configure: Configure, recorder: Recorder, project_id: str
) -> None:
    from google.cloud import pubsub_v1

    refused = rele.publish("not-there-yet", 1, ordering_key="customer-1")
    assert isinstance(refused.exception(timeout=20), NotFound)
    with pubsub_v1.PublisherClient() as publisher:
        publisher.create_topic(request={"name": f"projects/{project_id}/topics/not-there-yet"})

    accepted = rele.publish("not-there-yet", 2, ordering_key="customer-1")

    assert accepted.result(timeout=20)
    recorder.wait_for(2)
    assert recorder.names == [FAILURE, SUCCESS]


def test_when_a_key_fails_all_its_messages_fail_and_a_hook_may_publish_to_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Inbox()

    class PublishAgain(BaseMiddleware):
        def post_publish_failure(
            self, topic: str, exception: BaseException, message: object
        ) -> None:
            if len(again.items) < 300:
                future = rele.publish(
                    topic, "again", ordering_key="customer-1", raise_exception=False
                )
                again.put(future)

    register(recorder, PublishAgain())
    # More than one of the client's batches: the later ones fail within its locks.
    # Some may have failed before they are returned.
    futures = [
        rele.publish("missing", n, ordering_key="customer-1", raise_exception=False)
        for n in range(250)
    ]

    assert all(future.exception(timeout=20) for future in futures)
    for future in again.wait_for(250):
        assert future.exception(timeout=20)


def test_a_new_setup_sends_by_the_former_client_what_it_has_and_closes_it(
    configure: Configure, topic: str, project_id: str
) -> None:
    configure()
    futures = [rele.publish(topic, number) for number in range(50)]
    former = process_client()

    configure()
    assert process_client() is former
    configure(APP_NAME="other")

    assert all(future.done() and future.exception() is None for future in futures)
    assert rele.publish(topic, 1, blocking=True, timeout=10).result(timeout=0)
    assert process_client() is not former
    with pytest.raises(ValueError, match="closed channel"):
        former.get_topic(request={"topic": former.topic_path(project_id, topic)})
