"""What becomes of a subscription's messages, with one consumer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rele.emulator.delivery.ack_ids import MalformedAckIdError
from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import Backoff
from tests.unit.emulator.conftest import ACK_DEADLINE, Clock, Reader

Publish = Callable[..., list[int]]


class TestTake:
    def test_messages_come_in_the_order_of_publishing(
        self, reader: Reader, publish: Publish
    ) -> None:
        ids = publish(3) + publish(2)

        assert reader.take_ids() == ids

    def test_a_message_is_handed_out_once(self, reader: Reader, publish: Publish) -> None:
        publish()
        reader.take()

        assert reader.take() == []

    def test_the_limits_of_a_response_are_kept(self, reader: Reader, publish: Publish) -> None:
        publish(10, size=100)

        assert len(reader.take(max_messages=4)) == 4
        assert len(reader.take(max_bytes=250)) == 2

    def test_a_message_above_the_byte_limit_comes_alone(
        self, reader: Reader, publish: Publish
    ) -> None:
        publish(2, size=1000)

        assert len(reader.take(max_bytes=10)) == 1

    def test_a_consumer_that_found_nothing_is_woken_by_a_publish(
        self, reader: Reader, publish: Publish
    ) -> None:
        reader.take()
        publish(3)

        assert reader.woken == 1
        assert len(reader.take()) == 3

    def test_messages_never_sent_are_the_next_to_go_and_not_counted(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        first, second, third = publish(3)
        unsent = reader.take(max_messages=2)
        backlog.release(reader.consumer, unsent)

        batch = reader.take()
        assert [delivery.message.id for delivery in batch] == [first, second, third]
        assert [delivery.attempt for delivery in batch] == [1, 1, 1]

    def test_messages_that_expired_unsent_are_not_returned_twice(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        unsent = reader.take()
        clock.sleep(ACK_DEADLINE)
        other = Reader(backlog)
        assert len(other.take()) == 1

        backlog.release(reader.consumer, unsent)

        assert reader.take() == []


class TestAcknowledge:
    def test_an_acknowledged_message_is_never_redelivered(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        backlog.acknowledge([reader.take_one()])
        clock.sleep(1000)

        assert reader.take() == []
        assert len(backlog.deliveries()) == 0

    def test_acknowledging_twice_does_nothing(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        publish(2)
        ack_id = reader.take_one()
        backlog.acknowledge([ack_id, ack_id])
        backlog.acknowledge([ack_id])

        assert backlog.waiting == 1

    def test_a_late_ack_settles_a_message_that_waits_again(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        ack_id = reader.take_one()
        clock.sleep(ACK_DEADLINE)
        backlog.acknowledge([ack_id])

        assert reader.take() == []

    def test_a_late_ack_settles_a_message_in_its_backoff(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        backlog.configure(backoff=Backoff(5.0, 60.0))
        publish()
        ack_id = reader.take_one()
        backlog.modify_ack_deadlines([ack_id], [0])
        backlog.acknowledge([ack_id])
        clock.sleep(1000)

        assert reader.take() == []

    def test_a_late_ack_settles_a_message_that_was_handed_out_again(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        ack_id = reader.take_one()
        clock.sleep(ACK_DEADLINE)
        reader.take_one()
        backlog.acknowledge([ack_id])
        clock.sleep(ACK_DEADLINE)

        assert reader.take() == []

    @pytest.mark.parametrize(
        "ack_id", ["", "garbage", "0123abcd:1", "0123abcd:x:1", "0123abcd:1:²"]
    )
    def test_what_is_no_ack_id_is_refused_and_nothing_settled(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish, ack_id: str
    ) -> None:
        publish()
        with pytest.raises(MalformedAckIdError, match="Invalid ack id"):
            backlog.acknowledge([reader.take_one(), ack_id])

        clock.sleep(ACK_DEADLINE)
        assert len(reader.take()) == 1

    def test_an_ack_id_of_another_subscription_settles_nothing(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        backlog.acknowledge([reader.take_one().replace("0123abcd", "dcba3210")])
        clock.sleep(ACK_DEADLINE)

        assert len(reader.take()) == 1


class TestDeadline:
    def test_a_message_is_redelivered_when_its_deadline_passes(
        self, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        reader.take()
        clock.sleep(ACK_DEADLINE - 0.01)
        assert reader.take() == []

        clock.sleep(0.01)
        assert [delivery.attempt for delivery in reader.take()] == [2]

    def test_an_extension_counts_from_when_it_is_made(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        ack_id = reader.take_one()
        clock.sleep(9)
        backlog.modify_ack_deadlines([ack_id], [20])
        clock.sleep(19.9)
        assert reader.take() == []

        clock.sleep(0.1)
        assert len(reader.take()) == 1

    def test_a_deadline_can_be_shortened(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        backlog.modify_ack_deadlines([reader.take_one()], [1])
        clock.sleep(1)

        assert len(reader.take()) == 1

    def test_extending_an_earlier_delivery_changes_nothing(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        first = reader.take_one()
        clock.sleep(ACK_DEADLINE)
        reader.take_one()
        backlog.modify_ack_deadlines([first], [600])
        clock.sleep(ACK_DEADLINE)

        assert len(reader.take()) == 1

    def test_only_the_next_deadline_is_asked_for(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish(2)
        reader.take(max_messages=1)
        clock.sleep(3)
        reader.take(max_messages=1)

        assert min(clock.due) == clock.now - 3 + ACK_DEADLINE


class TestNack:
    def test_without_a_policy_a_nacked_message_is_redelivered_at_once(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        publish()
        for attempt in range(1, 6):
            (delivery,) = reader.take()
            assert delivery.attempt == attempt
            backlog.modify_ack_deadlines([backlog.ack_ids.make(delivery)], [0])

    def test_a_nack_of_an_earlier_delivery_changes_nothing(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        publish()
        first = reader.take_one()
        backlog.modify_ack_deadlines([first], [0])
        reader.take_one()
        backlog.modify_ack_deadlines([first], [0])

        assert reader.take() == []

    def test_each_nack_waits_twice_as_long_up_to_the_maximum(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        backlog.configure(backoff=Backoff(1.0, 5.0))
        publish()
        for delay in (1.0, 2.0, 4.0, 5.0, 5.0):
            backlog.modify_ack_deadlines([reader.take_one()], [0])
            clock.sleep(delay - 0.01)
            assert reader.take() == []
            clock.sleep(0.01)

        assert len(reader.take()) == 1

    def test_an_expiry_waits_like_a_nack(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        backlog.configure(backoff=Backoff(2.0, 60.0))
        publish()
        reader.take()
        clock.sleep(ACK_DEADLINE + 1.99)
        assert reader.take() == []

        clock.sleep(0.01)
        assert len(reader.take()) == 1

    def test_failures_are_counted_for_each_message(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        backlog.configure(backoff=Backoff(1.0, 60.0))
        publish()
        backlog.modify_ack_deadlines([reader.take_one()], [0])
        clock.sleep(1)
        backlog.modify_ack_deadlines([reader.take_one()], [0])
        publish()
        backlog.modify_ack_deadlines([reader.take_one()], [0])
        clock.sleep(1)

        assert reader.take_ids() == [2]

    def test_a_message_refused_again_and_again_does_not_keep_others_from_coming(
        self, backlog: Backlog, publish: Publish
    ) -> None:
        publish(3)
        reader = Reader(backlog, max_messages=1)
        seen = set()
        for _ in range(6):
            (delivery,) = reader.take()
            seen.add(delivery.message.id)
            ack_id = backlog.ack_ids.make(delivery)
            if delivery.message.id == 1:
                backlog.modify_ack_deadlines([ack_id], [0])
            else:
                backlog.acknowledge([ack_id])

        assert seen == {1, 2, 3}

    def test_as_many_deadlines_as_ack_ids_are_wanted(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        publish()
        with pytest.raises(ValueError, match="zip"):
            backlog.modify_ack_deadlines([reader.take_one()], [])


class TestClose:
    def test_consumers_are_notified_and_nothing_is_left(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish(3)
        ack_id = reader.take_one()
        reason = RuntimeError("gone")
        backlog.close(reason)
        backlog.acknowledge([ack_id])
        clock.sleep(1000)

        assert reader.closed_with is reason
        assert (backlog.waiting, len(backlog.deliveries())) == (0, 0)
        reader.leave()

    def test_nobody_can_take_or_join_any_more(self, backlog: Backlog, reader: Reader) -> None:
        backlog.close(RuntimeError("gone"))

        with pytest.raises(RuntimeError, match="gone"):
            reader.take()
        with pytest.raises(RuntimeError, match="gone"):
            Reader(backlog)

    def test_unsent_messages_are_released_without_an_error(
        self, ordered_backlog: Backlog, publish_keyed: Publish
    ) -> None:
        reader = Reader(ordered_backlog)
        publish_keyed("k", 2)
        publish_keyed("")
        unsent = reader.take()
        ordered_backlog.close(RuntimeError("gone"))
        ordered_backlog.release(reader.consumer, unsent)

        assert ordered_backlog.waiting == 0


class TestExactlyOnce:
    def test_only_the_id_of_a_lease_that_lasts_settles(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        expired = reader.take_one()
        clock.sleep(ACK_DEADLINE)
        current = reader.take_one()

        outcome = backlog.acknowledge_exactly([expired, "garbage", current])
        assert sorted(outcome.invalid) == sorted([expired, "garbage"])
        assert outcome.done == [current]
        assert backlog.acknowledge_exactly([current]).invalid == [current]

    def test_only_the_id_of_a_lease_that_lasts_is_extended(
        self, backlog: Backlog, clock: Clock, reader: Reader, publish: Publish
    ) -> None:
        publish()
        ack_id = reader.take_one()
        assert backlog.modify_exactly([ack_id], [20]).done == [ack_id]
        clock.sleep(20)

        assert backlog.modify_exactly([ack_id], [20]).invalid == [ack_id]

    def test_the_id_of_what_was_never_sent_is_none(
        self, backlog: Backlog, reader: Reader, publish: Publish
    ) -> None:
        publish()
        unsent = reader.take()
        ack_id = backlog.ack_ids.make(unsent[0])
        backlog.release(reader.consumer, unsent)
        reader.take()

        assert backlog.acknowledge_exactly([ack_id]).invalid == [ack_id]
