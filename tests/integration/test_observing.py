"""What observers learn of the requests and responses between the engine and Pub/Sub."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable
from grpc import StatusCode

import rele
from rele.status.observers import OBSERVERS, Observer, PublishRequest, SettlementRequest
from rele.subscription import Subscription
from tests.support.handled import Handled, consumed
from tests.support.inbox import Inbox
from tests.support.publish_server import PublishServer
from tests.support.pull_server import PullServer
from tests.support.recorder import Recorder


class Notes(Observer):
    """What it has learned."""

    def __init__(self) -> None:
        self.published = Inbox()
        self.received = Inbox()
        self.settled = Inbox()

    def note_publish_request(self, request: PublishRequest) -> None:
        sent = [(each.data, dict(each.attributes), each.message_id) for each in request.messages]
        self.published.put(
            (request.topic_path, sent, request.started, request.seconds, request.error)
        )

    def note_received(self, subscription: str, messages: Any, at: float) -> None:
        received = [(each.message_id, dict(each.attributes)) for each in messages]
        self.received.put((subscription, received, at))

    def note_settlement_request(self, request: SettlementRequest) -> None:
        ack_ids = [each.ack_id for each in request.messages]
        self.settled.put(
            (
                request.subscription,
                request.kind,
                ack_ids,
                request.seconds,
                request.error,
                request.ack_deadline,
            )
        )


@pytest.fixture
def notes() -> Iterator[Notes]:
    notes = Notes()
    remove = OBSERVERS.add(notes)
    yield notes
    remove()
    assert not OBSERVERS


@pytest.mark.both_engines
def test_observers_follow_a_message_through_publisher_and_worker(
    run_worker: Callable[..., Any], notes: Notes, project_id: str
) -> None:
    inbox = Inbox()
    run_worker([Subscription(lambda data, **attrs: inbox.put(data), "orders")])
    before = time.time()

    message_id = rele.publish("orders", 1, country="ES").result(10)
    inbox.wait_for(1)

    [(topic_path, [(data, attributes, published_id)], started, seconds, error)] = (
        notes.published.wait_for(1)
    )
    assert topic_path == f"projects/{project_id}/topics/orders"
    assert (data, attributes["country"], error) == (b"1", "ES", None)
    assert published_id in (message_id, "")
    assert before - 1 < started < time.time()
    assert 0 < seconds < 20
    [(subscription, [(received_id, attributes)], _)] = notes.received.wait_for(1)
    assert subscription == f"projects/{project_id}/subscriptions/orders"
    assert (received_id, attributes["country"]) == (message_id, "ES")
    settled = notes.settled.wait_until(lambda items: any(each[1] == "ack" for each in items))
    [(subscription, _, ack_ids, _, error, ack_deadline)] = [e for e in settled if e[1] == "ack"]
    assert subscription == f"projects/{project_id}/subscriptions/orders"
    assert (len(ack_ids), error, ack_deadline) == (1, None, None)


def test_observers_know_why_a_publish_has_failed_and_that_it_is_repeated(
    publish_server: PublishServer, publishes_natively: Callable[..., Recorder], notes: Notes
) -> None:
    publishes_natively()
    publish_server.refuse(StatusCode.UNAVAILABLE, times=1)

    message_id = rele.publish("orders", 1).result(20)

    first, second = notes.published.wait_for(2)
    assert isinstance(first[4], ServiceUnavailable)
    assert [first[1][0][2], second[1][0][2]] == ["", message_id]
    assert second[4] is None


def test_observers_know_what_was_refused_of_settlements(
    pull_server: PullServer, notes: Notes
) -> None:
    pull_server.refuse(StatusCode.UNAVAILABLE, times=1, purpose="nack")
    with consumed("orders", Handled(lambda message: message.nack())):
        (stream,) = pull_server.streams.wait_for(1)
        (ack_id,) = stream.deliver(b"1")
        first = notes.settled.wait_until(lambda items: any(each[1] == "nack" for each in items))

    [(_, _, ack_ids, _, error, ack_deadline), *_] = [each for each in first if each[1] == "nack"]
    assert (ack_ids, ack_deadline) == ([ack_id], 0)
    assert error.startswith("UNAVAILABLE")


def test_an_observer_that_fails_changes_nothing(
    pull_server: PullServer, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: Any) -> None:
        raise ZeroDivisionError

    notes.note_received = fail  # type: ignore[method-assign]
    with consumed("orders", Handled()):
        (stream,) = pull_server.streams.wait_for(1)
        (ack_id,) = stream.deliver(b"1")
        assert pull_server.acked.wait_for(1) == [ack_id]

    assert "An observer of the engine has failed." in caplog.messages
