"""What a handler says of its message, on a real server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1 import PublisherClient as PlainPublisherClient

import rele
from rele import DeadLetterPolicy, RetryPolicy, Subscription
from rele.engine.base import Message
from rele.engine.google.dead_letters import DeadLetterPublisher
from rele.exceptions import DeadLetter, Drop, Retry
from rele.middleware import BaseMiddleware
from tests.support import engines
from tests.support.in_use import register
from tests.support.inbox import Inbox
from tests.support.recorder import raising

pytestmark = pytest.mark.both_engines(slow="google")

Run = Callable[..., Any]
Declare = Callable[..., Subscription]

EXACTLY_ONCE: Any = {"enable_exactly_once_delivery": True}
QUICKLY = RetryPolicy(0.1, 0.2)


@pytest.fixture
def subscriber(pubsub: str) -> Iterator[pubsub_v1.SubscriberClient]:
    with pubsub_v1.SubscriberClient() as subscriber:
        yield subscriber


@pytest.fixture
def pull(subscriber: pubsub_v1.SubscriberClient, project_id: str) -> Callable[[str], Any]:
    """Wait for one message of the subscription of that id, and acknowledge it."""

    def pull(name: str) -> Any:
        path = f"projects/{project_id}/subscriptions/{name}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            response = subscriber.pull(request={"subscription": path, "max_messages": 1})
            for received in response.received_messages:
                subscriber.acknowledge(request={"subscription": path, "ack_ids": [received.ack_id]})
                return received.message
        raise AssertionError(f"Nothing has arrived on {name}.")

    return pull


def raising_once(error: Exception, inbox: Inbox) -> Callable[..., None]:
    """A handler that puts the time of each call into ``inbox``, and raises at the first."""

    def handle(data: Any, **attributes: Any) -> None:
        inbox.put(time.monotonic())
        if len(inbox.items) == 1:
            raise error

    return handle


def test_a_dropped_message_is_not_redelivered(run_worker: Run) -> None:
    inbox = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        raise Drop

    run_worker([Subscription(handle, "orders", retry_policy=QUICKLY)])

    rele.publish("orders", 1)
    inbox.wait_for(1)
    rele.publish("orders", 2)
    inbox.wait_for(2)
    rele.publish("orders", 3)

    assert inbox.wait_for(3) == [1, 2, 3]


def test_the_hooks_of_a_worker_get_one_message_that_knows_how_it_is_settled(
    run_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox()

    class Watch(BaseMiddleware):
        def pre_process_message(self, subscription: Any, message: Message) -> None:
            inbox.put((message, message.settled_as))

        def post_process_message_success(
            self, subscription: Any, start_time: float, message: Message
        ) -> None:
            inbox.put((message, message.settled_as))

    register(Watch())
    monkeypatch.setattr("rele.config.register_middleware", lambda config, **kwargs: None)
    run_worker([Subscription(lambda data, **attributes: None, "orders")])

    rele.publish("orders", 1, lang="es")

    (before, unsettled), (after, settled) = inbox.wait_for(2)
    assert before is after
    assert isinstance(before, Message)
    assert (unsettled, settled) == (None, "ack")
    assert (before.data, before.attributes["lang"]) == (b"1", "es")


def test_a_message_is_redelivered_after_the_delay_that_its_handler_asks_for(
    run_worker: Run,
) -> None:
    inbox = Inbox()
    run_worker([Subscription(raising_once(Retry(2), inbox), "orders", retry_policy=QUICKLY)])

    rele.publish("orders", 1)

    first, second = inbox.wait_for(2)
    assert 2 <= second - first < 8


def test_without_a_delay_it_is_redelivered_by_the_retry_policy(run_worker: Run) -> None:
    inbox = Inbox()
    run_worker([Subscription(raising_once(Retry(), inbox), "orders", retry_policy=QUICKLY)])

    rele.publish("orders", 1)

    first, second = inbox.wait_for(2)
    assert second - first < 2


@pytest.mark.parametrize("payload", [b'{"id": 1}', b"\xff\x00 no JSON"])
def test_a_dead_letter_is_found_in_the_dead_letter_topic(
    run_worker: Run, project_id: str, pull: Callable[[str], Any], payload: bytes
) -> None:
    def handle(data: Any, **attributes: Any) -> None:
        raise DeadLetter("nobody can handle it")

    run_worker(
        [
            Subscription(
                handle, "orders", retry_policy=QUICKLY, dead_letter_policy=DeadLetterPolicy()
            )
        ]
    )

    with pubsub_v1.PublisherClient() as publisher:
        # "topic" is a name that no attribute of rele.publish can have.
        message = {"data": payload, "attributes": {"lang": "en", "topic": "x"}}
        PlainPublisherClient.publish(
            publisher,
            request={"topic": f"projects/{project_id}/topics/orders", "messages": [message]},
        )

    found = pull("orders-dead-letter")
    assert found.data == payload
    assert (found.attributes["lang"], found.attributes["topic"]) == ("en", "x")
    assert found.attributes["CloudPubSubDeadLetterSourceSubscription"] == "orders"
    assert found.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "1"


def test_a_dead_letter_topic_that_is_gone_is_one_line(
    run_worker: Run, project_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        attempts.put(data)
        raise DeadLetter

    policy = DeadLetterPolicy("failures")
    run_worker([Subscription(handle, "orders", retry_policy=QUICKLY, dead_letter_policy=policy)])
    with pubsub_v1.PublisherClient() as publisher:
        publisher.delete_topic(request={"topic": f"projects/{project_id}/topics/failures"})

    rele.publish("orders", 1)
    attempts.wait_for(2)

    record = next(r for r in caplog.records if "dead-letter topic" in r.getMessage())
    assert record.levelname == "ERROR"
    assert record.exc_info is None
    assert record.getMessage().endswith(
        "could not be published to the dead-letter topic, and is nacked: the topic 'failures' does "
        f"not exist in project {project_id}. Run the worker that subscribes to it, or create it."
    )


@pytest.mark.parametrize("is_accepted", [True, False], ids=["accepted", "refused"])
def test_what_fails_too_often_goes_there_with_its_error(
    run_worker: Run,
    pull: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    is_accepted: bool,
) -> None:
    """Without it, if Relé's publish is refused: then Pub/Sub moves it."""
    attempts = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        current = rele.current_message()
        assert current is not None
        attempts.put(current.delivery_attempt)
        raise ValueError("never")

    if not is_accepted:
        monkeypatch.setattr(DeadLetterPublisher, "_send", raising(OSError("unavailable")))
    policy = DeadLetterPolicy("failures", max_delivery_attempts=5)
    run_worker([Subscription(handle, "orders", retry_policy=QUICKLY, dead_letter_policy=policy)])

    rele.publish("orders", 1)

    found = pull("failures")
    assert found.data == b"1"
    assert found.attributes.get("rele_error") == ("never" if is_accepted else None)
    assert found.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert attempts.items == [1, 2, 3, 4, 5]


def test_the_next_of_its_ordering_key_follow_what_failed_too_often(
    run_worker: Run, pull: Callable[[str], Any]
) -> None:
    handled = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        if data == 0:
            raise ValueError("never")
        handled.put(data)

    policy = DeadLetterPolicy("failures", max_delivery_attempts=5)
    options: dict[str, Any] = {"retry_policy": QUICKLY, "dead_letter_policy": policy}
    run_worker([Subscription(handle, "orders", enable_message_ordering=True, **options)])

    for number in range(3):
        rele.publish("orders", number, ordering_key="k")

    assert handled.wait_for(2) == [1, 2]
    found = pull("failures")
    assert (found.data, found.ordering_key) == (b"0", "k")
    assert found.attributes["rele_error"] == "never"


class Noted(BaseMiddleware):
    """Notes how messages end, in order."""

    def __init__(self) -> None:
        self.ends = Inbox()

    def post_ack_failure(
        self, subscription: Subscription, exception: BaseException, message: Message
    ) -> None:
        self.ends.put(("ack failed", type(exception).__name__))

    def post_process_message_success(self, *args: Any) -> None:
        self.ends.put("handled")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """How messages end, as the only middleware sees it."""
    noted = Noted()
    register(noted)
    monkeypatch.setattr("rele.config.register_middleware", lambda config, **kwargs: None)
    return noted.ends


def test_exactly_once_is_acknowledged_and_confirmed(run_worker: Run, ends: Inbox) -> None:
    run_worker([Subscription(lambda data, **attrs: None, "orders", **EXACTLY_ONCE)])

    rele.publish("orders", 1)
    rele.publish("orders", 2)

    assert ends.wait_for(2) == ["handled", "handled"]


def test_an_acknowledgement_that_pubsub_refuses_is_reported(
    run_worker: Run, ends: Inbox, subscriber: pubsub_v1.SubscriberClient, project_id: str
) -> None:
    def handle(data: Any, **attributes: Any) -> None:
        # All that is outstanding is acknowledged by this, so that the handler's own comes too late.
        path = f"projects/{project_id}/subscriptions/orders"
        now = datetime.now(timezone.utc)
        subscriber.seek(request={"subscription": path, "time": now})

    run_worker([Subscription(handle, "orders", **EXACTLY_ONCE)])

    rele.publish("orders", 1)

    error = {"rele": "LeaseLostError", "google": "AcknowledgeError"}[engines.in_use()]
    assert ends.wait_for(2) == [("ack failed", error), "handled"]


def test_ordered_messages_are_handled_in_order(run_worker: Run) -> None:
    handled = Inbox()

    def handle(data: Any, **attributes: Any) -> None:
        current = rele.current_message()
        assert current is not None
        handled.put((current.ordering_key, data))

    run_worker([Subscription(handle, "orders", enable_message_ordering=True, threads=4)])

    for number in range(30):
        for key in ("anna", "berta", "carla"):
            rele.publish("orders", number, ordering_key=key)

    items = handled.wait_for(90)
    for key in ("anna", "berta", "carla"):
        assert [number for k, number in items if k == key] == list(range(30))


@pytest.mark.parametrize(  # Google's emulator sends a stream more than it asks for
    "pubsub_server", ["embedded"], indirect=True
)
def test_a_process_leases_no_more_than_max_messages(run_worker: Run) -> None:
    one, other = Inbox(), Inbox()
    gates = [Inbox(), Inbox()]

    def handler(inbox: Inbox, gate: Inbox) -> Callable[..., None]:
        def handle(data: Any, **attributes: Any) -> None:
            inbox.put(data)
            gate.wait_for(1)

        return handle

    # A worker that is busy leaves what it cannot begin to the other one.
    run_worker([Subscription(handler(one, gates[0]), "orders", threads=2, max_messages=2)])
    rele.publish("orders", 1)
    rele.publish("orders", 2)
    one.wait_for(2)
    run_worker([Subscription(handler(other, gates[1]), "orders", threads=2, max_messages=2)])
    rele.publish("orders", 3)
    rele.publish("orders", 4)

    assert sorted(other.wait_for(2)) == [3, 4]
    for gate in gates:
        gate.put(None)
