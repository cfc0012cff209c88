"""Messages that failed too often."""

from __future__ import annotations

from collections.abc import Callable

from rele.emulator.delivery.backlog import Backlog
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


def nack(backlog: Backlog, reader: Reader) -> None:
    backlog.modify_ack_deadlines([reader.take_one()], [0])


def test_a_message_is_forwarded_after_its_last_attempt(
    backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
) -> None:
    forward = Forwarder()
    backlog.configure(dead_letters=DeadLetters(5, forward))
    publish()
    for _ in range(3):
        nack(backlog, reader)
    reader.take()
    clock.sleep(ACK_DEADLINE)
    assert forward.forwarded == []

    nack(backlog, reader)
    assert forward.forwarded == [(1, 5)]
    assert (backlog.waiting, len(backlog.deliveries())) == (0, 0)


def test_a_message_that_cannot_be_forwarded_stays_with_its_backoff(
    backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
) -> None:
    forward = Forwarder(possible=False)
    backlog.configure(backoff=Backoff(1.0, 1.0), dead_letters=DeadLetters(5, forward))
    publish()
    for _ in range(6):
        nack(backlog, reader)
        clock.sleep(1)

    forward.possible = True
    nack(backlog, reader)
    assert forward.forwarded == [(1, 7)]


def test_one_of_a_key_is_forwarded_and_its_followers_go_on(
    ordered_backlog: Backlog, publish_keyed: Callable[..., list[int]]
) -> None:
    forward = Forwarder()
    ordered_backlog.configure(dead_letters=DeadLetters(1, forward))
    reader = Reader(ordered_backlog)
    first, second, third = publish_keyed("k", 3)
    ack_ids = [ordered_backlog.ack_ids.make(delivery) for delivery in reader.take()]
    ordered_backlog.modify_ack_deadlines(ack_ids[:1], [0])

    assert forward.forwarded == [(first, 1)]
    batch = reader.take()
    assert [delivery.message.id for delivery in batch] == [second, third]
    assert [delivery.attempt for delivery in batch] == [1, 1]


def test_a_dead_letter_may_come_back_to_its_own_subscription(
    ordered_backlog: Backlog, publish_keyed: Callable[..., list[int]]
) -> None:
    def forward(message: StoredMessage, attempts: int) -> bool:
        ordered_backlog.publish([StoredMessage(100, 0, b"x", message.ordering_key)])
        return True

    ordered_backlog.configure(dead_letters=DeadLetters(1, forward))
    reader = Reader(ordered_backlog)
    publish_keyed("k", 1)
    nack(ordered_backlog, reader)

    assert reader.take_ids() == [100]


def test_it_says_where_it_comes_from() -> None:
    message = StoredMessage(7, 1_700_000_000_123_456, b"")

    assert source_attributes("projects/p/subscriptions/s", message, 6) == {
        "CloudPubSubDeadLetterSourceDeliveryCount": "6",
        "CloudPubSubDeadLetterSourceSubscription": "s",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
        "CloudPubSubDeadLetterSourceTopicPublishTime": "2023-11-14T22:13:20.123Z",
    }
