"""Messages that failed too often."""

from __future__ import annotations

from collections.abc import Callable

from rele.emulator.delivery.backlog import DeliveryState
from rele.emulator.delivery.backoff import Backoff
from rele.emulator.delivery.dead_letters import DeadLetters, source_attributes
from rele.emulator.delivery.message import StoredMessage
from tests.unit.emulator.conftest import ACK_DEADLINE, Clock, Reader

Publish = Callable[..., list[int]]


class Forwarder:
    """Records what is forwarded, where that is possible."""

    def __init__(self, *, possible: bool = True) -> None:
        self.possible = possible
        self.forwarded: list[tuple[int, int]] = []

    def __call__(self, message: StoredMessage, attempts: int) -> bool:
        if self.possible:
            self.forwarded.append((message.id, attempts))
        return self.possible


def nack(state: DeliveryState, reader: Reader) -> None:
    state.modify_ack_deadlines([reader.take_one()], [0])


def test_a_message_is_forwarded_after_its_last_attempt(
    state: DeliveryState, clock: Clock, reader: Reader, publish: Publish
) -> None:
    forward = Forwarder()
    state.dead_letters = DeadLetters(5, forward)
    publish()
    for _ in range(3):
        nack(state, reader)
    reader.take()
    clock.sleep(ACK_DEADLINE)
    assert forward.forwarded == []

    nack(state, reader)
    assert forward.forwarded == [(1, 5)]
    assert (state.waiting, state.unsettled) == (0, 0)


def test_a_message_that_cannot_be_forwarded_stays_with_its_backoff(
    state: DeliveryState, clock: Clock, reader: Reader, publish: Publish
) -> None:
    forward = Forwarder(possible=False)
    state.dead_letters = DeadLetters(5, forward)
    state.backoff = Backoff(1.0, 1.0)
    publish()
    for _ in range(6):
        nack(state, reader)
        clock.sleep(1)

    forward.possible = True
    nack(state, reader)
    assert forward.forwarded == [(1, 7)]


def test_one_of_a_key_is_forwarded_and_its_followers_go_on(
    ordered_state: DeliveryState, publish_keyed: Callable[..., list[int]]
) -> None:
    forward = Forwarder()
    ordered_state.dead_letters = DeadLetters(1, forward)
    reader = Reader(ordered_state)
    first, second, third = publish_keyed("k", 3)
    ack_ids = [ordered_state.ack_ids.make(delivery) for delivery in reader.take()]
    ordered_state.modify_ack_deadlines(ack_ids[:1], [0])

    assert forward.forwarded == [(first, 1)]
    batch = reader.take()
    assert [delivery.message.id for delivery in batch] == [second, third]
    assert [delivery.attempt for delivery in batch] == [1, 1]


def test_a_dead_letter_may_come_back_to_its_own_subscription(
    ordered_state: DeliveryState, publish_keyed: Callable[..., list[int]]
) -> None:
    def forward(message: StoredMessage, attempts: int) -> bool:
        ordered_state.publish([StoredMessage(100, 0, b"x", message.ordering_key)])
        return True

    ordered_state.dead_letters = DeadLetters(1, forward)
    reader = Reader(ordered_state)
    publish_keyed("k", 1)
    nack(ordered_state, reader)

    assert reader.take_ids() == [100]


def test_it_tells_where_it_comes_from() -> None:
    message = StoredMessage(7, 1_700_000_000_123_456, b"")

    assert source_attributes("projects/p/subscriptions/s", message, 6) == {
        "CloudPubSubDeadLetterSourceDeliveryCount": "6",
        "CloudPubSubDeadLetterSourceSubscription": "s",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
        "CloudPubSubDeadLetterSourceTopicPublishTime": "2023-11-14T22:13:20.123Z",
    }
