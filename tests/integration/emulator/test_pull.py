"""Pull, Acknowledge and ModifyAckDeadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from rele.emulator import ask_status

from .conftest import SOON

Publish = Callable[..., list[str]]
Pull = Callable[..., list[Any]]


@pytest.fixture
def pull(subscriber: pubsub_v1.SubscriberClient, subscription: str) -> Pull:
    def pull(max_messages: int = 100, **options: Any) -> list[Any]:
        response = subscriber.pull(
            request={"subscription": subscription, "max_messages": max_messages, **options},
            timeout=SOON,
        )
        return list(response.received_messages)

    return pull


def test_messages_that_wait_are_given_at_once(publish: Publish, pull: Pull) -> None:
    ids = publish(b"a", b"b", b"c")

    assert [received.message.message_id for received in pull(max_messages=2)] == ids[:2]
    assert [received.message.data for received in pull()] == [b"c"]


def test_more_than_a_hundred_messages_come_at_once(publish: Publish, pull: Pull) -> None:
    publish(*[b"x"] * 500)

    assert len(pull(max_messages=500)) == 500


def wait_for_a_pull(address: str, subscription: str) -> None:
    """Return once a Pull of the subscription waits for messages."""
    deadline = time.monotonic() + SOON
    while True:
        found = ask_status(address)["subscriptions"]
        if any(each["name"] == subscription and each["consumers"] for each in found):
            return
        assert time.monotonic() < deadline, "No Pull came."


def test_a_waiting_pull_gets_the_next_message(
    emulator: str, subscription: str, publish: Publish, pull: Pull
) -> None:
    results = []
    waiting = threading.Thread(target=lambda: results.extend(pull()))
    waiting.start()
    wait_for_a_pull(emulator, subscription)
    publish(b"x")
    waiting.join(SOON)

    assert [received.message.data for received in results] == [b"x"]


def test_an_empty_pull_is_answered_before_the_client_gives_up(
    subscriber: pubsub_v1.SubscriberClient, subscription: str
) -> None:
    response = subscriber.pull(subscription=subscription, max_messages=1, timeout=0.5, retry=None)

    assert not response.received_messages


def test_an_immediate_pull_does_not_wait(pull: Pull) -> None:
    with pytest.warns(DeprecationWarning, match="return_immediately"):
        assert pull(return_immediately=True) == []


def test_acknowledged_messages_are_gone_and_nacked_ones_redelivered(
    subscriber: pubsub_v1.SubscriberClient, subscription: str, publish: Publish, pull: Pull
) -> None:
    publish(b"acked", b"nacked")
    acked, nacked = pull()
    subscriber.acknowledge(subscription=subscription, ack_ids=[acked.ack_id])
    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[nacked.ack_id], ack_deadline_seconds=0
    )

    (again,) = pull()
    assert again.message.data == b"nacked"
    assert again.ack_id != nacked.ack_id


def test_a_lease_that_runs_out_ends_a_pull_that_waits(
    subscriber: pubsub_v1.SubscriberClient, subscription: str, publish: Publish, pull: Pull
) -> None:
    publish(b"x")
    (received,) = pull()
    subscriber.modify_ack_deadline(
        subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=1
    )

    assert [again.message.data for again in pull()] == [b"x"]


def test_deleting_the_subscription_ends_a_pull_that_waits(
    emulator: str, subscriber: pubsub_v1.SubscriberClient, subscription: str, pull: Pull
) -> None:
    errors = []

    def wait() -> None:
        try:
            pull()
        except exceptions.NotFound as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for_a_pull(emulator, subscription)
    subscriber.delete_subscription(subscription=subscription)
    waiting.join(SOON)

    assert "Resource not found (resource=orders)." in str(errors[0])


@pytest.mark.parametrize("number", [0, -1])
def test_a_pull_of_no_messages_is_refused(pull: Pull, number: int) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="max_messages must be positive"):
        pull(max_messages=number)


def test_settling_without_a_proper_ack_id_is_refused(
    subscriber: pubsub_v1.SubscriberClient, subscription: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"Invalid ack id \(ack_id=garbage\)\."):
        subscriber.acknowledge(subscription=subscription, ack_ids=["garbage"])
    with pytest.raises(exceptions.InvalidArgument, match="ack_ids must have at least one"):
        subscriber.acknowledge(subscription=subscription, ack_ids=[])
    with pytest.raises(exceptions.InvalidArgument, match=r"Invalid ack id \(ack_id=garbage\)\."):
        subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=["garbage"], ack_deadline_seconds=10
        )
    with pytest.raises(exceptions.InvalidArgument, match="ack_deadline_seconds must be from 0"):
        subscriber.modify_ack_deadline(
            subscription=subscription, ack_ids=["garbage"], ack_deadline_seconds=601
        )


def test_calls_on_a_missing_subscription_are_not_found(
    subscriber: pubsub_v1.SubscriberClient, project: str
) -> None:
    missing = f"projects/{project}/subscriptions/missing"
    text = r"Resource not found \(resource=missing\)\."
    with pytest.raises(exceptions.NotFound, match=text):
        subscriber.pull(subscription=missing, max_messages=1)
    with pytest.raises(exceptions.NotFound, match=text):
        subscriber.acknowledge(subscription=missing, ack_ids=["x"])
    with pytest.raises(exceptions.NotFound, match=text):
        subscriber.modify_ack_deadline(subscription=missing, ack_ids=["x"], ack_deadline_seconds=10)
