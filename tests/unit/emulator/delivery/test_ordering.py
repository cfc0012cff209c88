"""Messages with ordering keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import Backoff
from tests.unit.emulator.conftest import ACK_DEADLINE, PLENTY, Clock, Reader

Publish = Callable[..., list[int]]


@pytest.fixture
def backlog(ordered_backlog: Backlog) -> Backlog:
    return ordered_backlog


def take(reader: Reader, number: int = PLENTY) -> dict[int, str]:
    """Take messages: their ack ids by their ids, in the order of coming."""
    return {
        delivery.message.id: reader.backlog.ack_ids.make(delivery)
        for delivery in reader.take(max_messages=number)
    }


def nack(backlog: Backlog, *ack_ids: str) -> None:
    backlog.modify_ack_deadlines(ack_ids, [0] * len(ack_ids))


def test_one_consumer_gets_a_key_in_order_before_any_ack(
    reader: Reader, publish_keyed: Publish
) -> None:
    first = publish_keyed("k", 3)
    assert list(take(reader, 1)) == first[:1]
    later = publish_keyed("k", 2)

    assert list(take(reader)) == first[1:] + later


def test_others_get_the_next_of_a_key_only_when_all_are_acknowledged(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    other = Reader(backlog)
    publish_keyed("k", 3)
    ack_ids = take(reader, 2)
    assert take(other) == {}

    backlog.acknowledge([ack_ids[1]])
    assert take(other) == {}
    reader.leave()
    assert take(other) == {}

    backlog.acknowledge([ack_ids[2]])
    assert other.woken == 1
    assert list(take(other)) == [3]


def test_other_keys_and_none_go_on(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("a", 2)
    take(reader, 1)
    publish_keyed("b", 2)
    publish_keyed("", 2)

    assert sorted(take(Reader(backlog))) == [3, 4, 5, 6]
    assert list(take(reader)) == [2]


def test_the_owner_is_woken_for_more_of_its_key(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    other = Reader(backlog)
    publish_keyed("k")
    take(reader)
    assert take(other) == take(reader) == {}
    publish_keyed("k")

    assert (reader.woken, other.woken) == (1, 0)
    assert list(take(reader)) == [2]


def test_a_nack_brings_a_message_and_all_after_it_again(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 5)
    ack_ids = take(reader)
    backlog.acknowledge([ack_ids[1], ack_ids[4]])
    nack(backlog, ack_ids[2])
    backlog.acknowledge([ack_ids[3], ack_ids[5]])

    batch = reader.take()
    assert [delivery.message.id for delivery in batch] == [2, 3, 4, 5]
    assert [delivery.attempt for delivery in batch] == [2, 1, 1, 1]
    backlog.acknowledge(backlog.ack_ids.make(delivery) for delivery in batch)
    assert (backlog.waiting, len(backlog.deliveries())) == (0, 0)


def test_an_ack_counts_for_one_delivery_where_an_earlier_message_is_redelivered(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    ack_ids = take(reader)
    backlog.acknowledge([ack_ids[2]])
    nack(backlog, ack_ids[1])
    again = take(reader)
    backlog.acknowledge([again[1]])
    nack(backlog, again[2])

    assert list(take(reader)) == [2, 3]
    assert (backlog.waiting, len(backlog.deliveries())) == (0, 2)


def test_nacks_of_all_count_for_the_first(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    nack(backlog, *take(reader).values())

    assert [delivery.attempt for delivery in reader.take()] == [2, 1, 1]


def test_an_expiry_brings_all_again_in_order(
    backlog: Backlog, clock: Clock, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    ack_ids = take(reader)
    backlog.acknowledge([ack_ids[2]])
    clock.sleep(ACK_DEADLINE)

    assert list(take(reader)) == [1, 2, 3]


def test_what_expires_after_an_extended_message_is_redelivered_after_it(
    backlog: Backlog, clock: Clock, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    ack_ids = take(reader)
    backlog.modify_ack_deadlines([ack_ids[1]], [100])
    clock.sleep(ACK_DEADLINE)

    assert take(Reader(backlog)) == {}
    assert list(take(reader, 1)) == [2]
    assert list(take(reader)) == [3]


def test_a_backoff_holds_the_whole_key(
    backlog: Backlog, clock: Clock, reader: Reader, publish_keyed: Publish
) -> None:
    backlog.configure(backoff=Backoff(5.0, 60.0))
    publish_keyed("k", 2)
    nack(backlog, take(reader)[1])
    publish_keyed("k")
    publish_keyed("other")
    assert list(take(reader)) == [4]

    clock.sleep(5)
    assert list(take(reader)) == [1, 2, 3]


def test_a_late_ack_counts_only_if_nothing_before_it_is_unacknowledged(
    backlog: Backlog, clock: Clock, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    ack_ids = take(reader)
    clock.sleep(ACK_DEADLINE)
    backlog.acknowledge([ack_ids[3]])
    backlog.acknowledge([ack_ids[1]])

    assert list(take(reader)) == [2, 3]


def test_messages_never_sent_keep_their_place(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 4)
    take(reader, 1)
    backlog.release(reader.consumer, reader.take(max_messages=2))

    batch = reader.take()
    assert [delivery.message.id for delivery in batch] == [2, 3, 4]
    assert [delivery.attempt for delivery in batch] == [1, 1, 1]


def test_a_consumer_without_room_is_woken_for_its_key_when_it_has_some(
    backlog: Backlog, publish_keyed: Publish
) -> None:
    reader = Reader(backlog, max_messages=1)
    publish_keyed("k", 2)
    ack_ids = take(reader)
    assert take(reader) == {}
    backlog.acknowledge(ack_ids.values())

    assert reader.woken == 1
    assert list(take(reader)) == [2]


def test_one_busy_key_does_not_keep_others_from_coming(
    backlog: Backlog, publish_keyed: Publish
) -> None:
    reader = Reader(backlog, max_messages=1)
    publish_keyed("busy", 10)
    publish_keyed("other", 1)
    publish_keyed("", 1)
    seen = []
    for _ in range(4):
        for message_id, ack_id in take(reader).items():
            seen.append(message_id)
            backlog.acknowledge([ack_id])

    assert {11, 12} <= set(seen)


def test_exactly_once_takes_acks_only_in_order(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 3)
    ack_ids = take(reader)
    assert backlog.acknowledge_exactly([ack_ids[2]]).unordered == [ack_ids[2]]

    outcome = backlog.acknowledge_exactly([ack_ids[2], ack_ids[1]])
    assert outcome.done == [ack_ids[1], ack_ids[2]]


def test_exactly_once_confirms_nacks_of_all(
    backlog: Backlog, reader: Reader, publish_keyed: Publish
) -> None:
    publish_keyed("k", 2)
    ack_ids = list(take(reader).values())

    assert backlog.modify_exactly(ack_ids, [0, 0]).done == ack_ids
    assert backlog.acknowledge_exactly(ack_ids).invalid == ack_ids
