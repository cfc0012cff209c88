"""A subscription that is paused and resumed, or gets other threads, in virtual time."""

from __future__ import annotations

from rele.engine.native.consuming.delivery import Delivery
from tests.support.virtual_consumer import NACK, VirtualConsumer


def pause(consumer: VirtualConsumer, *not_begun: Delivery) -> None:
    consumer.answer()
    consumer.core.pause(not_begun)
    consumer.act()


def end_streams(consumer: VirtualConsumer) -> None:
    for stream in consumer.closed:
        consumer.core.note_ended(stream, consumer.now)
    consumer.closed.clear()
    consumer.act()


def nacked(consumer: VirtualConsumer) -> list[str]:
    return [
        each.message_id
        for call in consumer.calls
        if call.purpose == "nack"
        for each in call.deliveries
    ]


def test_what_was_not_begun_is_nacked_once_after_the_streams_have_ended() -> None:
    consumer = VirtualConsumer()
    running, ready = consumer.receive("", "")
    consumer.begin(running)

    pause(consumer, ready)
    assert consumer.closed == consumer.opened
    assert consumer.not_begun == 0, "it might be redelivered on a stream that is still open"
    late = consumer.receive("")[0]
    consumer.answer()

    end_streams(consumer)
    consumer.advance(1, answering=False)

    assert consumer.not_begun == 2
    assert sorted(nacked(consumer)) == [ready.message_id, late.message_id]
    consumer.advance(5)
    assert consumer.not_begun == 2
    assert consumer.core.outstanding == 1


def test_a_running_handler_finishes_and_its_ack_is_sent() -> None:
    consumer = VirtualConsumer()
    (running,) = consumer.receive("")
    consumer.begin(running)
    pause(consumer)
    end_streams(consumer)

    consumer.settle(running)
    consumer.advance(1, answering=False)

    assert [each for call in consumer.calls for each in call.ack_ids if call.purpose == "ack"] == [
        running.ack_id
    ]
    assert nacked(consumer) == []


def test_nothing_is_opened_or_handed_out_until_it_is_resumed() -> None:
    consumer = VirtualConsumer()
    pause(consumer)
    end_streams(consumer)

    consumer.advance(3600)
    assert len(consumer.opened) == 1
    assert consumer.ready == []

    consumer.core.resume(consumer.now)
    consumer.act()
    assert len(consumer.opened) == 2
    (delivery,) = consumer.receive("")
    assert consumer.ready == [delivery]


def test_what_was_not_begun_goes_on_if_it_is_resumed_before_the_streams_have_ended() -> None:
    consumer = VirtualConsumer()
    first, second = consumer.receive("", "key")
    consumer.ready.clear()
    pause(consumer, first, second)

    consumer.core.resume(consumer.now)
    consumer.act()

    assert consumer.ready == [first, second]
    assert consumer.not_begun == 0
    consumer.handle(second)
    consumer.handle(first)


def test_the_next_message_of_a_key_waits_for_the_handler_that_ran_at_the_pause() -> None:
    consumer = VirtualConsumer()
    first, *others = consumer.receive("key", "key", "key")
    consumer.begin(first)
    pause(consumer)
    end_streams(consumer)
    consumer.advance(1, answering=False)
    assert nacked(consumer) == [each.message_id for each in others]
    consumer.answer()

    consumer.core.resume(consumer.now)
    consumer.act()
    again = [Delivery(f"again-{n}", each.message_id, "key") for n, each in enumerate(others)]
    consumer.ready.clear()
    consumer.core.receive(consumer.opened[-1], again, consumer.now)
    consumer.act()
    assert consumer.ready == []

    consumer.settle(first)
    assert consumer.ready == again[:1]
    consumer.handle(again[0])
    assert consumer.ready == again


def test_keys_that_were_handed_out_and_not_begun_are_handled_in_order_later() -> None:
    consumer = VirtualConsumer(batch_size=3, batch_wait=0.0)
    deliveries = consumer.receive("key", "key", "key")
    assert consumer.ready == deliveries
    pause(consumer, *deliveries)
    end_streams(consumer)
    consumer.advance(1, answering=False)
    assert nacked(consumer) == [each.message_id for each in deliveries]
    consumer.answer()
    consumer.ready.clear()

    consumer.core.resume(consumer.now)
    consumer.act()
    again = [Delivery(f"again-{n}", each.message_id, "key") for n, each in enumerate(deliveries)]
    for each in again:
        consumer.core.receive(consumer.opened[-1], [each], consumer.now)
    consumer.act()

    assert consumer.ready == again


def test_a_paused_subscription_can_be_drained() -> None:
    consumer = VirtualConsumer()
    running, ready = consumer.receive("", "")
    consumer.begin(running)
    pause(consumer, ready)

    assert consumer.core.drain(consumer.now) == 1
    consumer.settle(running, NACK)
    consumer.advance(1)

    assert consumer.core.outstanding == 0


def test_more_threads_raise_the_limit_and_fewer_lower_it() -> None:
    consumer = VirtualConsumer(threads=2)
    assert consumer.opened[-1].limit == 4

    consumer.core.set_threads(20, consumer.now)
    consumer.act()
    assert consumer.opened[-1].limit == 40
    assert consumer.core.status(consumer.now).threads == 20

    consumer.core.set_threads(600, consumer.now)
    consumer.act()
    assert consumer.core.status(consumer.now).limit == 1000, "as max_messages states"


def test_where_no_limit_is_stated_it_follows_the_threads() -> None:
    consumer = VirtualConsumer(threads=2, follows_threads=True)

    consumer.core.set_threads(600, consumer.now)
    consumer.act()

    assert consumer.core.status(consumer.now).limit == 1200


def test_the_status_counts_what_was_received_and_what_became_of_it() -> None:
    consumer = VirtualConsumer(max_attempts=5)
    first = [Delivery("a", "1", attempt=1, size=70), Delivery("b", "2", attempt=2, size=30)]
    consumer.core.receive(consumer.opened[-1], first, consumer.now)
    consumer.act()
    consumer.answer()
    consumer.begin(first[0])
    consumer.now += 3

    status = consumer.core.status(consumer.now)
    assert (status.received, status.redelivered) == (2, 1)
    assert (status.outstanding, status.outstanding_bytes) == (2, 100)
    assert (status.longest_running, status.idle_for) == (3, None)
    assert (status.limit, status.is_at_limit) == (4, False)

    consumer.core.settle(first[0], NACK, consumer.now)
    consumer.core.finish_together([first[0]], consumer.now)
    consumer.now += 2
    status = consumer.core.status(consumer.now)
    assert (status.outstanding, status.outstanding_bytes) == (1, 30)
    assert (status.longest_running, status.idle_for) == (0, 2)


def test_the_status_counts_leases_that_were_extended_and_lost() -> None:
    consumer = VirtualConsumer()
    (delivery,) = consumer.receive("")
    consumer.answer()
    consumer.begin(delivery)
    consumer.advance(100)
    assert consumer.core.status(consumer.now).leases_extended >= 1
    assert consumer.core.status(consumer.now).leases_lost == 0

    consumer.advance(60, answering=False)
    consumer.answer("UNAVAILABLE: not now")
    consumer.advance(10, answering=False)
    assert consumer.core.status(consumer.now).leases_lost == 1


def test_the_status_knows_for_how_long_streams_are_refused() -> None:
    consumer = VirtualConsumer()
    for _ in range(20):
        consumer.core.note_ended(consumer.opened[-1], consumer.now)
        consumer.advance(10)
    assert 190 <= (consumer.core.status(consumer.now).refused_for or 0) <= 200

    consumer.receive("")
    assert consumer.core.status(consumer.now).refused_for is None
