"""Outcomes, hooks and delays of publishing, on a real server."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import pytest
from google.api_core.exceptions import NotFound

import rele
from rele.config import Config
from rele.middleware import BaseMiddleware
from tests.support.in_use import register
from tests.support.inbox import Inbox
from tests.support.polling import wait_until
from tests.support.publish_server import PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Config]


pytestmark = pytest.mark.both_engines

SUCCESS, FAILURE = "post_publish_success", "post_publish_failure"


@pytest.fixture
def recorder(configure: Configure) -> Recorder:
    configure()
    recorder = Recorder(hooks=(SUCCESS, FAILURE))
    register(recorder)
    return recorder


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishServer]:
    """A server that a test has answer as it wants; the environment leads to it."""
    with PublishServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server
        rele.publishing.forget()


@pytest.fixture
def configure_scripted(scripted: PublishServer, project_id: str) -> Configure:
    """Set Relé up, on the scripted server, with the settings that it gives."""
    return lambda **settings: rele.setup(
        {"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], **settings}
    )


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


def test_tasks_wait_for_room_in_the_publisher(configure: Configure, topic: str) -> None:
    configure(ENGINE="rele", PUBLISHER_LIMITS={"max_messages": 5}, PUBLISHER_TIMEOUT=20.0)

    async def main() -> list[str]:
        futures = await asyncio.gather(*(rele.apublish(topic, number) for number in range(100)))
        return [future.result(timeout=0) for future in futures]

    assert len(set(asyncio.run(main()))) == 100


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


def delay_batches(configure: Configure) -> None:
    """Let the publisher gather messages for longer than any test lasts."""
    configure(PUBLISHER_BATCHING={"max_wait": 60})
    if rele.config.Config({}).engine == "google":  # which has no such setting
        client = rele.publishing.get_publisher().backend.client
        client.batch_settings = client.batch_settings._replace(max_latency=60)


def test_a_blocking_publish_does_not_wait_for_the_batching_delay(
    scripted: PublishServer, configure_scripted: Configure
) -> None:
    delay_batches(configure_scripted)
    held = scripted.hold(times=1)
    first = rele.publish("news", 1)
    rele.publishing.flush(0)
    held.requests.wait_for(1)

    assert rele.publish("news", 2, blocking=True, timeout=30).result()

    held.release()
    assert first.result(timeout=10)


def test_a_publish_that_timed_out_runs_no_success_hook_although_it_arrives(
    scripted: PublishServer, configure_scripted: Configure
) -> None:
    configure_scripted()
    recorder = Recorder(hooks=(SUCCESS, FAILURE))
    register(recorder)
    held = scripted.hold(times=1)

    with pytest.raises(FutureTimeoutError):
        rele.publish("news", 1, blocking=True, timeout=0.01)
    held.requests.wait_for(1)
    held.release()

    future = rele.publish("news", 2, blocking=True)
    assert future.result(timeout=5)
    assert scripted.accepted.items == [b"1", b"2"]
    assert rele.publishing.flush(10)
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
    # More than one request; where a client has locks, the later ones fail within them.
    # Some may have failed before they are returned.
    futures = [
        rele.publish("missing", n, ordering_key="customer-1", raise_exception=False)
        for n in range(250)
    ]

    assert all(future.exception(timeout=20) for future in futures)
    for future in again.wait_for(250):
        assert future.exception(timeout=20)


def test_a_new_setup_sends_what_the_former_publisher_has_and_closes_its_connection(
    scripted: PublishServer, configure_scripted: Configure
) -> None:
    configure_scripted()
    futures = [rele.publish("news", number) for number in range(50)]

    configure_scripted()
    assert scripted.connections <= 1, "equal settings change nothing"
    configure_scripted(APP_NAME="other")

    assert all(future.done() and future.exception() is None for future in futures)
    assert rele.publish("news", 1, blocking=True, timeout=10).result(timeout=0)
    assert scripted.connections == 2
    wait_until(lambda: scripted.open_connections == 1, 10)
