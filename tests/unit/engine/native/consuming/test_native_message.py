"""A message of our own engine: what it shows of what was received, and when it reads that."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime, timezone
from typing import Any

import pytest
from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage
from google.pubsub_v1.types import PubsubMessage

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.native_message import NativeMessage

SENT_AT = datetime(2025, 11, 26, 8, 30, tzinfo=timezone.utc)


class Settler:
    """Notes what it is told, as the engine."""

    def __init__(self) -> None:
        self.settled: list[tuple[Delivery, Settled]] = []
        self.response: Future[Any] = Future()

    def note(self, delivery: Delivery, settled: Settled) -> None:
        assert not settled.wants_response
        self.settled.append((delivery, settled))

    def settle(self, delivery: Delivery, settled: Settled) -> Future[Any]:
        assert settled.wants_response
        self.settled.append((delivery, settled))
        return self.response

    def ack_together(self, deliveries: Any) -> None:
        self.settled += [(delivery, Settled("ack")) for delivery in deliveries]


@pytest.fixture
def received() -> Any:
    message = PubsubMessage.pb()()
    message.data, message.message_id, message.ordering_key = b"{}", "7", "customer-1"
    message.attributes.update({"lang": "de", "country": "ES"})
    message.publish_time.FromDatetime(SENT_AT)
    return message


@pytest.fixture
def settler() -> Settler:
    return Settler()


@pytest.fixture
def message(received: Any, settler: Settler) -> NativeMessage:
    return NativeMessage(Delivery("ack-1", "7", "customer-1", 2, 3, received), settler)


def test_it_shows_what_was_received(message: NativeMessage, received: Any) -> None:
    assert message.data == b"{}"
    assert message.attributes == {"lang": "de", "country": "ES"}
    assert (message.message_id, message.ordering_key, message.ack_id) == (
        "7",
        "customer-1",
        "ack-1",
    )
    assert message.publish_time == SENT_AT
    assert message.delivery_attempt == 3
    assert message.size == received.ByteSize()


def test_it_has_whatever_is_public_of_googles(message: NativeMessage) -> None:
    public = [name for name in dir(GoogleMessage) if not name.startswith("_")]

    assert {"attributes", "data", "exactly_once_enabled", "nack_with_response"} <= {*public}
    assert [name for name in public if not hasattr(message, name)] == []
    assert not message.exactly_once_enabled


def test_attributes_are_made_when_they_are_looked_at(message: NativeMessage, received: Any) -> None:
    received.attributes["lang"] = "fr"  # nothing was read yet

    attributes = message.attributes
    received.attributes["lang"] = "it"

    assert attributes["lang"] == "fr"
    assert message.attributes is attributes


def test_a_middleware_may_replace_what_is_made_when_read(message: NativeMessage) -> None:
    message.attributes = {"tenant": "shop"}

    assert message.attributes == {"tenant": "shop"}


def test_a_middleware_may_keep_something_on_it(message: Any) -> None:
    message.tenant = "shop"

    assert message.tenant == "shop"


@pytest.mark.parametrize("kind", ["ack", "nack", "drop"])
def test_it_is_settled_once(message: Any, settler: Settler, kind: str) -> None:
    getattr(message, kind)()
    message.nack()
    message.ack()

    assert message.settled_as == kind
    assert [settled.kind for _, settled in settler.settled] == [kind]


@pytest.mark.parametrize("kind", ["ack", "nack"])
def test_a_response_is_the_engines(message: Any, settler: Settler, kind: str) -> None:
    assert getattr(message, f"{kind}_with_response")() is settler.response

    [(_, settled)] = settler.settled
    assert settled.wants_response


def test_a_deadline_settles_nothing(message: NativeMessage, settler: Settler) -> None:
    message.modify_ack_deadline(30)

    assert message.settled_as is None
    assert [settled for _, settled in settler.settled] == [Settled("extend", 30)]


def test_a_deadline_after_a_drop_delays_the_redelivery(
    message: NativeMessage, settler: Settler
) -> None:
    message.drop()
    message.modify_ack_deadline(30)

    assert [settled for _, settled in settler.settled] == [Settled("drop"), Settled("delay", 30)]


def test_a_deadline_that_pubsub_does_not_take_is_refused(message: NativeMessage) -> None:
    with pytest.raises(ValueError, match="0 to 600 seconds, not 601"):
        message.modify_ack_deadline(601)


def test_when_it_was_published_is_the_same_in_both_forms(message: NativeMessage) -> None:
    message._received.publish_time.nanos = 250_000_000

    assert message.publish_timestamp == SENT_AT.timestamp() + 0.25
    assert message.publish_timestamp == message.publish_time.timestamp()
