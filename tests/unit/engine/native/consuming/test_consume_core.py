from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rele.engine.native.consuming.delivery import Delivery, Settled
from tests.support.virtual_consumer import NACK, VirtualConsumer


def settle_of(deliveries: Sequence[Delivery]) -> list[str | None]:
    return [each.settled.kind if each.settled else None for each in deliveries]


def test_a_message_is_handed_out_leased_and_acked() -> None:
    consumer = VirtualConsumer()
    [delivery] = consumer.receive("")

    assert consumer.ready == [delivery]
    assert consumer.purposes() == ["extend"]
    consumer.answer()
    consumer.handle(delivery)
    consumer.advance(0.01, answering=False)
    assert consumer.purposes() == ["ack"]
    consumer.answer()
    assert consumer.core.outstanding == 0
    assert not consumer.core.is_busy


class TestSmallLimits:
    """Two threads begin with a limit of four: each request must carry more than one ack."""

    def test_acks_share_a_request_while_the_handlers_have_work(self) -> None:
        consumer = VirtualConsumer()
        consumer.receive(*[""] * 4)
        consumer.answer()

        for delivery in consumer.ready[:2]:
            consumer.handle(delivery)
        assert consumer.calls == [], "two handlers are busy with the other two"

        consumer.advance(0.01, answering=False)
        assert [len(call.ack_ids) for call in consumer.calls] == [2]

    def test_no_handler_is_idle_because_of_an_ack_that_waits_for_others(self) -> None:
        consumer = VirtualConsumer()
        consumer.receive(*[""] * 4)
        consumer.answer()

        for delivery in consumer.ready[:3]:
            consumer.handle(delivery)

        assert [len(call.ack_ids) for call in consumer.calls] == [3]


def test_nothing_is_begun_whose_lease_has_ended() -> None:
    consumer = VirtualConsumer()
    [delivery] = consumer.receive("")
    consumer.advance(11, answering=False)

    assert not consumer.begin(delivery)
    consumer.core.finish(delivery, consumer.now)
    assert consumer.core.outstanding == 0
    assert delivery.settled is None


class TestExactlyOnce:
    def test_nothing_is_handled_before_its_lease_is_confirmed(self) -> None:
        consumer = VirtualConsumer(is_exactly_once=True)
        [delivery] = consumer.receive("")
        assert consumer.ready == []

        consumer.answer()
        assert consumer.ready == [delivery]

    def test_what_another_worker_has_is_not_handled(self) -> None:
        consumer = VirtualConsumer(is_exactly_once=True)
        consumer.receive("", "")

        consumer.answer(ack_1="PERMANENT_FAILURE_INVALID_ACK_ID")
        assert [each.ack_id for each in consumer.ready] == ["ack-2"]
        assert consumer.core.outstanding == 1


class TestADrain:
    def test_nacks_what_no_handler_has_begun_with(self) -> None:
        consumer = VirtualConsumer()
        running, handed, waiting = consumer.receive("", "key", "key")
        assert consumer.ready == [running, handed]
        consumer.begin(running)

        consumer.core.drain(consumer.now, [handed])
        consumer.act()
        assert settle_of([running, handed, waiting]) == [None, "nack", "nack"]
        assert consumer.closed == consumer.opened

    def test_nothing_is_begun_any_more(self) -> None:
        consumer = VirtualConsumer()
        [delivery] = consumer.receive("")
        consumer.core.drain(consumer.now)

        assert not consumer.begin(delivery)
        consumer.core.finish(delivery, consumer.now)
        assert settle_of([delivery]) == ["nack"]

    def test_what_still_arrives_is_nacked(self) -> None:
        consumer = VirtualConsumer()
        consumer.core.drain(consumer.now)

        assert settle_of(consumer.receive("", "key")) == ["nack", "nack"]
        assert consumer.ready == []


class TestAKey:
    def test_is_handled_in_order(self) -> None:
        consumer = VirtualConsumer()
        first, second = consumer.receive("key", "key")
        assert consumer.ready == [first]

        consumer.handle(first)
        assert consumer.ready == [first, second]

    def test_is_nacked_with_its_failed_message(self) -> None:
        consumer = VirtualConsumer()
        first, *others = consumer.receive("key", "key", "key", "other")
        consumer.handle(first, NACK)

        assert settle_of(others) == ["nack", "nack", None]

    def test_is_not_continued_after_a_message_whose_lease_was_lost(self) -> None:
        consumer = VirtualConsumer()
        first, second = consumer.receive("key", "key")
        consumer.advance(11, answering=False)
        assert not consumer.begin(first)

        consumer.core.finish(first, consumer.now)
        consumer.act()
        assert consumer.ready == [first]
        assert settle_of([second]) == ["nack"]

    def test_holds_half_of_max_messages_at_most(self) -> None:
        consumer = VirtualConsumer(max_messages=8, max_attempts=5)
        first, *others = consumer.receive(*["key"] * 8)
        consumer.handle(first, NACK)

        assert settle_of(others) == [None] * 4 + ["nack"] * 3


class TestTheLimit:
    def test_doubles_where_handlers_wait_for_messages(self) -> None:
        consumer = VirtualConsumer()
        for _ in range(120):
            for delivery in consumer.receive(*[""] * consumer.opened[-1].limit):
                consumer.handle(delivery)
            consumer.now += 0.01
            consumer.act()
            consumer.answer()

        assert [stream.limit for stream in consumer.opened] == [4, 8]
        assert consumer.closed == consumer.opened[:1]

    def test_is_raised_at_once_where_delayed_messages_fill_a_stream(self) -> None:
        consumer = VirtualConsumer()
        for delivery in consumer.receive("", "", "", ""):
            consumer.handle(delivery, Settled("delay", 60))
        consumer.answer()
        assert consumer.purposes() == ["delay"]
        consumer.answer()

        assert [stream.limit for stream in consumer.opened] == [4, 8]


class TestBatches:
    """Several messages that are begun, acked and finished together."""

    @staticmethod
    def consumer(**options: Any) -> VirtualConsumer:
        return VirtualConsumer(batch_size=10, batch_wait=1.0, **options)

    def test_they_are_acked_by_one_call(self) -> None:
        consumer = self.consumer()
        batch = consumer.receive("", "a", "a", "")
        consumer.answer()

        assert consumer.core.begin_together(batch, consumer.now) == batch
        consumer.core.ack_together(batch, consumer.now)
        consumer.core.finish_together(batch, consumer.now)
        consumer.advance(0.01, answering=False)

        [call] = consumer.calls
        assert (call.purpose, call.deliveries) == ("ack", batch)
        assert consumer.core.outstanding == 0
        consumer.answer()
        assert not consumer.core.is_busy

    def test_nothing_is_begun_whose_lease_has_ended_or_what_follows_it(self) -> None:
        consumer = self.consumer()
        lost = consumer.receive("a", "")
        consumer.advance(11, answering=False)
        later = consumer.receive("a", "b", "")

        assert consumer.core.begin_together([*lost, *later], consumer.now) == later[1:]

    def test_what_was_settled_otherwise_stays_as_it_is(self) -> None:
        consumer = self.consumer()
        batch = consumer.receive("", "")
        consumer.core.begin_together(batch, consumer.now)
        consumer.core.settle(batch[0], NACK, consumer.now)

        consumer.core.ack_together(batch, consumer.now)
        consumer.core.finish_together(batch, consumer.now)

        assert settle_of(batch) == ["nack", "ack"]

    def test_what_follows_a_failed_message_unsettled_is_nacked(self) -> None:
        consumer = self.consumer()
        batch = consumer.receive("a", "a", "a")
        consumer.core.begin_together(batch, consumer.now)
        consumer.core.ack_together(batch[:1], consumer.now)
        consumer.core.settle(batch[1], NACK, consumer.now)

        consumer.core.finish_together(batch, consumer.now)

        assert settle_of(batch) == ["ack", "nack", "nack"]
        assert not any(map(consumer.core.is_handed, batch))

    def test_nor_is_what_became_ready_just_before_the_failure_handed_out(self) -> None:
        consumer = VirtualConsumer(batch_size=2, batch_wait=1.0)
        batch = consumer.receive("a", "a", "a")[:2]
        consumer.core.begin_together(batch, consumer.now)
        consumer.core.ack_together(batch[:1], consumer.now)
        consumer.core.settle(batch[1], NACK, consumer.now)

        consumer.core.finish_together(batch, consumer.now)
        consumer.act()

        assert consumer.ready == batch

    def test_with_dead_letters_it_is_held_and_handed_out_again(self) -> None:
        consumer = self.consumer(max_attempts=5)
        batch = consumer.receive("a", "a", "a")
        consumer.core.begin_together(batch, consumer.now)
        consumer.core.settle(batch[0], NACK, consumer.now)

        consumer.core.finish_together(batch, consumer.now)

        assert settle_of(batch) == ["nack", None, None]
        again = Delivery("ack-again", batch[0].message_id, "a", attempt=2)
        consumer.ready.clear()
        consumer.core.receive(consumer.opened[-1], [again], consumer.now)
        consumer.act()
        assert consumer.ready == [again]
        consumer.core.begin_together([again], consumer.now)
        consumer.core.ack_together([again], consumer.now)
        consumer.core.finish_together([again], consumer.now)
        consumer.advance(2)
        assert consumer.ready == [again, *batch[1:]]
        assert consumer.core.begin_together(batch[1:], consumer.now) == batch[1:]

    def test_at_a_stop_it_is_nacked(self) -> None:
        consumer = self.consumer(max_attempts=5)
        batch = consumer.receive("a", "a")
        consumer.core.begin_together(batch, consumer.now)
        consumer.core.drain(consumer.now)
        consumer.core.settle(batch[0], NACK, consumer.now)

        consumer.core.finish_together(batch, consumer.now)

        assert settle_of(batch) == ["nack", "nack"]


def test_a_message_is_known_to_have_been_sent_after_the_silence_of_its_stream() -> None:
    consumer = VirtualConsumer()
    (first,) = consumer.receive("key")
    consumer.handle(first)
    consumer.advance(20)
    (second,) = consumer.receive("key")

    assert (first.sent_after, second.sent_after) == (100.0, 100.0)


def test_what_follows_a_dropped_message_of_a_key_waits_for_the_end_of_its_lease() -> None:
    """It is redelivered then, and Pub/Sub would redeliver what is nacked before."""
    consumer = VirtualConsumer()
    first, second = consumer.receive("key", "key")
    consumer.answer()
    consumer.handle(first, Settled("drop"))
    consumer.advance(50)

    assert consumer.ready == [first]
    assert (second.settled, second.is_lost) == (None, False)
