from __future__ import annotations

import pytest

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.ordered_key import IN_TRANSIT
from rele.engine.native.consuming.ordered_keys import OrderedKeys
from rele.engine.native.consuming.ordered_step import COPIES_WITHIN, Step


def delivery(number: int, *, attempt: int = 1, copy: str = "", key: str = "key") -> Delivery:
    return Delivery(f"ack-{number}{copy}", f"id-{number}", key, attempt=attempt)


@pytest.fixture
def keys() -> OrderedKeys:
    return OrderedKeys()


def test_one_message_of_a_key_is_handled_at_a_time(keys: OrderedKeys) -> None:
    first, second = delivery(1), delivery(2)

    assert keys.receive(first, 0) == Step(ready=[first])
    assert keys.receive(second, 0) == Step()
    assert keys.succeed(first, 1) == Step(ready=[second])
    assert keys.succeed(second, 1) == Step()


def test_keys_do_not_wait_for_each_other(keys: OrderedKeys) -> None:
    first, other = delivery(1, key="a"), delivery(2, key="b")

    assert keys.receive(first, 0).ready == [first]
    assert keys.receive(other, 0).ready == [other]


def test_what_waits_behind_a_failed_message_is_nacked_with_it(keys: OrderedKeys) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    for each in (first, second, third):
        keys.receive(each, 0)

    assert keys.fail(first, 0) == Step(nack=[second, third])
    again = delivery(1, copy="again")
    assert keys.receive(again, 0).ready == [again]


def test_what_waits_behind_a_delayed_message_is_held(keys: OrderedKeys) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    keys.receive(first, 0)
    keys.receive(second, 0)

    assert keys.fail(first, 0, delay=30) == Step()
    assert keys.receive(third, 0) == Step()
    again = delivery(1, copy="again")
    assert keys.receive(again, 0).ready == [again]
    assert keys.succeed(again, 1).ready == [second]
    assert keys.succeed(second, 1).ready == [third]


def test_what_is_held_is_nacked_where_another_worker_has_the_failed_message(
    keys: OrderedKeys,
) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    again = delivery(2, copy="again")
    keys.receive(first, 0)
    keys.receive(second, 0)
    keys.fail(first, 0, delay=30)

    assert keys.next_due() == 90
    assert keys.expire(89) == []
    assert keys.expire(90) == [second]
    third.received_at = 90
    assert keys.receive(third, 90) == Step()  # it was sent before the nack of the second one
    keys.note_known(second, 91)
    again.received_at = 92
    assert keys.receive(again, 92).ready == [again]
    assert keys.succeed(again, 93).ready == [third]


def test_a_failed_message_that_is_redelivered_late_goes_first(keys: OrderedKeys) -> None:
    first, second = delivery(1), delivery(2)
    late, again = delivery(1, copy="late"), delivery(2, copy="again")
    keys.receive(first, 0)
    keys.receive(second, 0)
    keys.fail(first, 0, delay=30)
    keys.expire(90)
    keys.note_known(second, 91)
    late.received_at = again.received_at = 92

    assert keys.receive(late, 92).ready == [late]
    assert keys.receive(again, 92).ready == []
    assert keys.succeed(late, 93).ready == [again]


def test_nor_does_it_give_way_where_the_next_one_has_failed_meanwhile(keys: OrderedKeys) -> None:
    first, second = delivery(1), delivery(2)
    first.is_lost = second.is_lost = True
    keys.receive(first, 0)
    keys.fail(first, 0)
    assert keys.expire(IN_TRANSIT) == []
    keys.receive(second, IN_TRANSIT)
    keys.fail(second, IN_TRANSIT)

    late = delivery(1, copy="late")
    assert keys.receive(late, IN_TRANSIT + 1).ready == [late]


def test_a_delay_of_a_lost_message_counts_where_its_redelivery_is_delayed_instead(
    keys: OrderedKeys,
) -> None:
    first, second, copy = delivery(1), delivery(2), delivery(1, copy="again")
    for each in (first, second, copy):
        keys.receive(each, 0)
    first.is_lost = True
    first.settled = Settled("delay", 30)

    assert keys.fail(first, 0, delay=30) == Step(copies=[copy])
    assert keys.expire(30) == []


def test_a_batch_that_never_returns_is_redelivered_from_its_first_message_on() -> None:
    keys = OrderedKeys(together=2)
    first, second = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)

    assert keys.abandon(second, 600).nack == [first, second]
    assert keys.receive(delivery(2, copy="again"), 601).ready == []
    assert keys.receive(again := delivery(1, copy="again"), 602).ready == [again]


def test_a_copy_of_what_was_handled_is_settled_as_that_was(keys: OrderedKeys) -> None:
    first, second, copy = delivery(1), delivery(2), delivery(1, copy="again")
    for each in (first, second, copy):
        keys.receive(each, 0)

    assert keys.succeed(first, 1) == Step(ready=[second], copies=[copy])


def test_a_copy_of_what_was_not_begun_is_handled_instead(keys: OrderedKeys) -> None:
    first, second, copy = delivery(1), delivery(2), delivery(1, copy="again")
    for each in (first, second, copy):
        keys.receive(each, 0)
    first.is_lost = True

    assert keys.fail(first, 1) == Step(ready=[copy])
    assert keys.succeed(copy, 1).ready == [second]


def test_a_key_goes_on_although_a_handler_never_returns(keys: OrderedKeys) -> None:
    first, second, copy = delivery(1), delivery(2), delivery(1, copy="again")
    keys.receive(first, 0)
    keys.receive(second, 0)
    first.settled = Settled("nack")

    assert keys.abandon(first, 600) == Step(nack=[first, second])
    assert keys.receive(copy, 601).ready == [copy]
    assert keys.succeed(first, 602) == Step()
    assert keys.succeed(copy, 603) == Step()


def test_it_goes_on_as_well_where_the_lease_was_lost_and_a_copy_waits(keys: OrderedKeys) -> None:
    first, copy = delivery(1), delivery(1, copy="again")
    keys.receive(first, 0)
    first.is_lost = True
    keys.receive(copy, 60)

    assert keys.abandon(copy, 660).ready == [copy]


class TestWithDeadLetters:
    @pytest.fixture
    def keys(self) -> OrderedKeys:
        return OrderedKeys(max_attempts=5)

    def test_a_message_that_is_delayed_after_its_last_attempt_is_waited_for(
        self, keys: OrderedKeys
    ) -> None:
        last, second = delivery(1, attempt=5), delivery(2)
        keys.receive(last, 0)
        keys.fail(last, 0, delay=30)

        assert keys.receive(second, 1).ready == []
        assert keys.next_due() == 30 + COPIES_WITHIN
        assert keys.resume(30) == []
        assert keys.resume(30 + COPIES_WITHIN) == [second]

    def test_it_is_waited_for_until_it_has_gone_however_late_its_delay_was_sent(
        self, keys: OrderedKeys
    ) -> None:
        last, second = delivery(1, attempt=5), delivery(2)
        keys.receive(last, 0)
        keys.fail(last, 0, delay=30)
        keys.receive(second, 1)
        last.lease_ends_at = 35  # the delay had waited for the end of an extension

        assert keys.resume(30 + COPIES_WITHIN) == []
        assert keys.resume(35 + COPIES_WITHIN) == [second]

    def test_what_waits_is_held_until_the_failed_one_is_redelivered(
        self, keys: OrderedKeys
    ) -> None:
        first, second = delivery(1), delivery(2)
        keys.receive(first, 0)
        keys.receive(second, 0)

        assert keys.fail(first, 0) == Step()
        assert keys.held == 1
        again = delivery(1, attempt=2, copy="again")
        assert keys.receive(again, 0).ready == [again]
        assert keys.succeed(again, 1).ready == [second]

    def test_a_redelivered_copy_replaces_the_held_one(self, keys: OrderedKeys) -> None:
        first, second = delivery(1), delivery(2)
        keys.receive(first, 0)
        keys.receive(second, 0)
        keys.fail(first, 0)
        again, copy = delivery(1, attempt=2, copy="again"), delivery(2, copy="again")
        keys.receive(again, 0)

        assert keys.receive(copy, 0) == Step(replaced=[second])
        assert keys.succeed(again, 1).ready == [copy]

    def test_the_last_attempt_holds_nothing(self, keys: OrderedKeys) -> None:
        first, second = delivery(1, attempt=5), delivery(2)
        keys.receive(first, 0)
        keys.receive(second, 0)

        assert keys.fail(first, 0) == Step()
        assert keys.next_due() == 0.5
        assert keys.resume(0.4) == []
        assert keys.resume(0.5) == [second]
        assert keys.next_due() is None

    def test_what_was_held_is_not_handled_before_its_copy_may_have_arrived(
        self, keys: OrderedKeys
    ) -> None:
        """Its lease has ended where Pub/Sub redelivers what follows a nacked message."""
        deliveries = [delivery(number) for number in range(3)]
        for each in deliveries:
            keys.receive(each, 0)
        keys.fail(deliveries[0], 0)
        again = delivery(0, attempt=2, copy="again")
        keys.receive(again, 10)

        assert keys.succeed(again, 10.1) == Step()
        copies = [delivery(number, copy="again") for number in (1, 2)]
        assert keys.receive(copies[0], 10.2) == Step(ready=[copies[0]], replaced=[deliveries[1]])
        assert keys.succeed(copies[0], 10.3) == Step()
        assert keys.receive(copies[1], 10.4) == Step(ready=[copies[1]], replaced=[deliveries[2]])
        assert keys.succeed(copies[1], 10.4) == Step()
        assert keys.next_due() is None

    def test_the_newest_are_shed_where_too_many_are_held(self, keys: OrderedKeys) -> None:
        deliveries = [delivery(number) for number in range(6)]
        for each in deliveries:
            keys.receive(each, 0)
        assert keys.shed(2, 0) == []
        keys.fail(deliveries[0], 0)

        assert keys.shed(2, 0) == [deliveries[5], deliveries[4], deliveries[3]]
        assert keys.held == 2

    def test_what_was_shed_keeps_its_place(self, keys: OrderedKeys) -> None:
        first, second, third = (delivery(number) for number in range(3))
        for each in (first, second, third):
            keys.receive(each, 0)
        keys.fail(first, 0)
        for shed in keys.shed(0, 0):
            shed.settled = Settled("nack")

        again = [delivery(number, copy="again") for number in (2, 0, 1)]
        for each in again:
            keys.receive(each, 0)
        assert keys.succeed(again[1], 1).ready == [again[2]]
        assert keys.succeed(again[2], 1).ready == [again[0]]

    def test_they_are_shed_once_a_second_however_often_they_are_redelivered(
        self, keys: OrderedKeys
    ) -> None:
        first, second, third = (delivery(number) for number in range(3))
        for each in (first, second, third):
            keys.receive(each, 0)
        keys.fail(first, 0)
        assert keys.shed(1, 0) == [third]
        third.settled = Settled("nack")

        again = delivery(2, copy="again")
        keys.receive(again, 0.1)
        assert keys.shed(1, 0.1) == []
        assert keys.next_due() == 1
        assert keys.shed(1, 1) == [again]


class TestTogether:
    """Several messages of a key, given to one handler at a time."""

    @pytest.fixture
    def keys(self) -> OrderedKeys:
        return OrderedKeys(together=3)

    def test_as_many_are_handed_out_as_a_handler_takes(self, keys: OrderedKeys) -> None:
        deliveries = [delivery(number) for number in range(5)]

        assert [keys.receive(each, 0).ready for each in deliveries] == [
            [deliveries[0]],
            [deliveries[1]],
            [deliveries[2]],
            [],
            [],
        ]
        assert keys.succeed(deliveries[0], 1).ready == [deliveries[3]]
        assert keys.succeed(deliveries[1], 1).ready == [deliveries[4]]

    def test_while_caution_lasts_what_was_delivered_before_is_alone(
        self, keys: OrderedKeys
    ) -> None:
        keys.is_cautious = True
        first, again, last = delivery(0), delivery(1, attempt=2), delivery(2)

        assert [keys.receive(each, 0).ready for each in (first, again, last)] == [[first], [], []]
        assert keys.succeed(first, 0).ready == [again]
        assert keys.succeed(again, 0).ready == [last]

    def test_what_was_handed_out_behind_a_failed_one_is_nacked(self, keys: OrderedKeys) -> None:
        deliveries = [delivery(number) for number in range(5)]
        for each in deliveries:
            keys.receive(each, 0)
        keys.succeed(deliveries[0], 1)

        assert keys.fail(deliveries[1], 0) == Step(nack=deliveries[2:], withdrawn=deliveries[2:4])
        assert keys.fail(deliveries[2], 0) == Step(), "it was withdrawn"

    def test_with_dead_letters_it_is_held(self) -> None:
        keys = OrderedKeys(max_attempts=5, together=3)
        first, second, third, fourth = (delivery(number) for number in range(4))
        for each in (first, second, third, fourth):
            keys.receive(each, 0)

        assert keys.fail(first, 0) == Step(withdrawn=[second, third])
        assert keys.held == 3
        again = delivery(0, attempt=2, copy="again")
        assert keys.receive(again, 0).ready == [again], "alone, since it may fail again"
        assert keys.receive(delivery(4), 0).ready == []
        assert keys.succeed(again, 1).ready == [second, third, fourth]

    def test_copies_of_what_runs_are_settled_as_it_is(self, keys: OrderedKeys) -> None:
        first, second, third = (delivery(number) for number in range(3))
        copies = [delivery(number, copy="again") for number in range(2)]
        for each in (first, second, third, *copies):
            keys.receive(each, 0)

        assert keys.succeed(first, 1).copies == [copies[0]]
        assert keys.succeed(second, 1).copies == [copies[1]]


def test_what_arrives_before_the_failed_message_does_is_held(keys: OrderedKeys) -> None:
    """Pub/Sub may have sent it before it knew of the failure."""
    first, late = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.fail(first, 0)

    assert keys.receive(late, 0) == Step()
    again, late_again = delivery(1, copy="again"), delivery(2, copy="again")
    assert keys.receive(again, 0) == Step(ready=[again])
    assert keys.receive(late_again, 0) == Step(replaced=[late])
    assert keys.succeed(again, 1).ready == [late_again]


def test_what_arrived_before_pubsub_knew_of_the_failure_is_nacked_if_nothing_else_arrives(
    keys: OrderedKeys,
) -> None:
    first, late = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.fail(first, 0)
    keys.receive(late, 1)
    keys.note_known(first, 2)

    assert keys.next_due() == 7
    assert keys.expire(7) == [late]


def test_what_arrives_later_is_nacked_once_since_another_worker_may_have_got_the_failed_one(
    keys: OrderedKeys,
) -> None:
    first, late = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.fail(first, 0)
    keys.note_known(first, 2)
    late.received_at = 3
    assert keys.receive(late, 3) == Step()

    assert keys.expire(6) == []
    assert keys.expire(7) == [late]
    keys.note_known(late, 8)
    again = delivery(2, copy="again")
    again.received_at = 9
    assert keys.receive(again, 9).ready == [again]


def test_no_key_goes_on_with_a_redelivered_message_that_is_lost_already(keys: OrderedKeys) -> None:
    first, second, lost = delivery(1), delivery(2), delivery(1, copy="lost")
    keys.receive(first, 0)
    keys.receive(second, 0)
    keys.fail(first, 0)
    lost.is_lost = True

    assert keys.receive(lost, 1) == Step()
    assert keys.receive(delivery(2, copy="again"), 2).ready == []
    assert keys.receive(again := delivery(1, copy="again"), 3).ready == [again]


def test_a_lost_message_that_is_not_awaited_keeps_its_place(keys: OrderedKeys) -> None:
    first, lost, third = (delivery(n) for n in (1, 2, 3))
    keys.receive(first, 0)
    keys.fail(first, 0, delay=30)
    lost.is_lost = True
    keys.receive(lost, 1)
    keys.receive(third, 1)

    keys.receive(again := delivery(2, copy="again"), 2)
    keys.receive(first_again := delivery(1, copy="again"), 30)
    assert keys.succeed(first_again, 31 + COPIES_WITHIN).ready == [again]


def nack_all(keys: OrderedKeys, deliveries: list[Delivery], now: float) -> None:
    """Receive ``deliveries``, let the first one fail, and let Pub/Sub know then."""
    for each in deliveries:
        keys.receive(each, now)
    keys.fail(deliveries[0], now)
    for each in deliveries:
        each.settled = Settled("nack")
        keys.note_known(each, now)


def again_at(now: float, number: int) -> Delivery:
    again = delivery(number, copy=f"at-{now}")
    again.received_at = now
    return again


def test_redelivered_messages_keep_their_order_whenever_their_nack_is_confirmed(
    keys: OrderedKeys,
) -> None:
    """Pub/Sub answers a nack by a call, and redelivers on a stream: no order is certain."""
    deliveries = [delivery(number) for number in range(4)]
    for each in deliveries:
        keys.receive(each, 0)
    keys.fail(deliveries[0], 0)

    # Another worker has handled the first two, so these are not redelivered.
    third, fourth = again_at(0.1, 2), again_at(0.3, 3)
    assert keys.receive(third, 0.1).ready == []
    for each in deliveries:
        each.settled = Settled("nack")
        keys.note_known(each, 0.2)
    assert keys.receive(fourth, 0.3).ready == []
    assert keys.expire(0.2 + IN_TRANSIT) == [third, fourth]
    for each in (third, fourth):
        keys.note_known(each, 5.3)
    third, fourth = again_at(6, 2), again_at(6, 3)
    assert keys.receive(third, 6).ready == []  # since the fourth one is missing
    assert keys.receive(fourth, 6).ready == [third]
    assert keys.succeed(third, 7).ready == [fourth]


def test_what_was_sent_long_before_it_arrived_does_not_overtake_a_missing_message(
    keys: OrderedKeys,
) -> None:
    nack_all(keys, [delivery(1), delivery(2)], 10)
    held = again_at(100, 3)
    held.stalled_since = 5.0  # the connection had brought nothing since then

    assert keys.receive(held, 100).ready == []
    assert keys.receive(again := again_at(100.1, 1), 100.1).ready == [again]


def test_acked_messages_that_are_redelivered_take_nobody_s_place(keys: OrderedKeys) -> None:
    """Pub/Sub redelivers whatever follows a message, although it was acked."""
    first, second = delivery(1), delivery(2)
    nack_all(keys, [first, second], 10)
    keys.receive(again := again_at(11, 2), 11)
    keys.expire(10 + IN_TRANSIT)  # so that Pub/Sub knows of the second one later
    again.settled = Settled("nack")
    keys.note_known(again, 16)

    assert keys.receive(again_at(17, 0), 17).ready == []
    assert keys.receive(first_again := again_at(17, 1), 17).ready == [first_again]
    second_again = again_at(17, 2)
    assert keys.receive(second_again, 17).ready == []
    assert keys.succeed(first_again, 18).ready == [second_again]


def test_the_order_of_a_redelivery_counts_where_nothing_is_waited_for(keys: OrderedKeys) -> None:
    """It may be another one than before, where acked messages had been redelivered late."""
    nack_all(keys, [delivery(2), delivery(1), delivery(3)], 10)

    assert keys.receive(first := again_at(20, 1), 20).ready == [first]
    assert keys.receive(second := again_at(20, 2), 20).ready == []
    assert keys.receive(again_at(20, 3), 20).ready == []
    assert keys.succeed(first, 21).ready == [second]


def test_a_lease_counts_for_longer_where_an_extension_is_under_way(keys: OrderedKeys) -> None:
    """The extension may have had an effect, although its answer is missing."""
    first, second = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)
    first.is_lost = first.is_being_extended = True

    assert keys.fail(first, 10).nack == [second]
    second.settled = Settled("nack")
    keys.note_known(second, 10)
    assert keys.receive(again_at(30, 2), 30).ready == []


def test_a_key_goes_on_although_a_handler_never_returns_whose_lease_was_lost(
    keys: OrderedKeys,
) -> None:
    """Nothing of it is outstanding any more: what waits for it is for too long."""
    first, second = delivery(1), again_at(5, 2)
    keys.receive(first, 0)
    keys.receive(second, 5)
    first.is_lost = True
    second.settled = Settled("nack")

    keys.abandon(second, 605)
    keys.note_known(second, 605)
    assert keys.receive(again := again_at(611, 2), 611).ready == [again]


def test_what_was_nacked_in_a_batch_that_failed_keeps_its_place() -> None:
    keys = OrderedKeys(max_attempts=8, together=2)
    first, second, third = (delivery(number) for number in (1, 2, 3))
    for each in (first, second, third):
        keys.receive(each, 0)
    first.settled = second.settled = Settled("nack")

    keys.fail(first, 300)
    keys.receive(again := again_at(301, 1), 301)
    keys.receive(third_again := again_at(301, 3), 301)
    keys.receive(second_again := again_at(301, 2), 301)
    assert keys.succeed(again, 302).ready == [second_again, third_again]


def test_a_delayed_message_is_waited_for_although_the_end_of_its_lease_was_confirmed_at_once(
    keys: OrderedKeys,
) -> None:
    first, second = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)
    keys.fail(first, 0, delay=30)
    keys.note_known(first, 0)
    keys.expire(90)
    second.settled = Settled("nack")
    keys.note_known(second, 91)

    late, second_again = again_at(100, 1), again_at(100, 2)
    late.stalled_since = second_again.stalled_since = 40.0
    assert keys.receive(second_again, 100).ready == []
    assert keys.receive(late, 100).ready == [late]


def test_a_missing_message_is_waited_for_after_those_before_it(keys: OrderedKeys) -> None:
    """Pub/Sub may deliver it only when these are acked, if a limit is reached."""
    nack_all(keys, [delivery(1), delivery(2), delivery(3)], 0)
    keys.receive(first := again_at(1, 1), 1)
    third = again_at(1, 3)
    keys.receive(third, 1)

    assert keys.expire(100) == []
    assert keys.succeed(first, 100).ready == []
    assert keys.expire(100) == []
    assert keys.receive(again := again_at(101, 2), 101).ready == [again]
    assert keys.succeed(again, 102).ready == [third]


def test_a_batch_whose_acks_were_refused_keeps_its_places() -> None:
    keys = OrderedKeys(max_attempts=8, together=2, is_exactly_once=True)
    first, second, third = (delivery(number) for number in (1, 2, 3))
    assert keys.receive(first, 1).ready == [first]
    assert keys.receive(second, 1).ready == [second]
    keys.receive(third, 1)
    for each in (first, second):
        each.settled, each.is_lost = Settled("ack"), True

    assert keys.fail(first, 2).withdrawn == [second]

    again = [delivery(number, copy="again") for number in (1, 2, 3)]
    assert [keys.receive(each, 20).ready for each in again] == [[again[0]], [], []]
    assert keys.succeed(again[0], 21).ready == [again[1], again[2]]


def test_a_message_whose_copy_was_acked_keeps_its_place_until_the_answer() -> None:
    keys = OrderedKeys(is_exactly_once=True)
    first, copy, second = delivery(1), delivery(1, copy="copy"), delivery(2)
    for each in (first, second, copy):
        keys.receive(each, 0)
    first.settled, first.is_lost = Settled("ack"), True

    assert keys.fail(first, 1) == Step(copies=[copy])
    assert keys.unanswered
    copy.settled, copy.is_lost = Settled("ack"), True
    keys.note_answered(copy, "INVALID_ACK_ID", 2)

    again = [delivery(number, copy="again") for number in (1, 2)]
    assert [keys.receive(each, 20).ready for each in again] == [[again[0]], []]
    assert keys.succeed(again[0], 21).ready == [again[1]]


def test_a_key_goes_on_when_the_ack_of_the_copy_is_accepted() -> None:
    keys = OrderedKeys(is_exactly_once=True)
    first, copy, second = delivery(1), delivery(1, copy="copy"), delivery(2)
    for each in (first, second, copy):
        keys.receive(each, 0)
    first.settled, first.is_lost = Settled("ack"), True
    keys.fail(first, 1)
    copy.settled = Settled("ack")

    assert keys.note_answered(copy, None, 2).ready == [second]
    assert not keys.unanswered


def test_what_follows_a_last_attempt_waits_until_pubsub_knows_of_its_nack() -> None:
    keys = OrderedKeys(max_attempts=5)
    first, second = delivery(1, attempt=5), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)
    first.settled = Settled("nack")

    assert keys.fail(first, 1) == Step()
    assert keys.resume(10) == []
    assert keys.note_answered(first, None, 10) == Step()

    assert keys.resume(10 + COPIES_WITHIN) == [second]


def test_a_last_attempt_whose_nack_was_refused_keeps_its_place() -> None:
    keys = OrderedKeys(max_attempts=5, is_exactly_once=True)
    first, second = delivery(1, attempt=5), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)
    first.settled = Settled("nack")
    keys.fail(first, 1)
    first.is_lost = True
    assert keys.note_answered(first, "INVALID_ACK_ID", 2) == Step()

    again = delivery(1, attempt=5, copy="again")

    assert keys.receive(again, 20).ready == [again]


def test_a_last_attempt_whose_lease_was_lost_is_waited_for() -> None:
    """An earlier message of the key may have failed: then its lease ends, and no attempt counts."""
    keys = OrderedKeys(max_attempts=5, is_exactly_once=True)
    first, second = delivery(1, attempt=5), delivery(2)
    keys.receive(first, 0)
    keys.receive(second, 0)
    first.settled, first.is_lost = Settled("ack"), True
    assert keys.fail(first, 1).ready == []

    again = delivery(1, attempt=5, copy="again")

    assert keys.receive(again, 20).ready == [again]


def test_pubsub_s_order_counts_where_it_refuses_an_ack_again_and_again() -> None:
    keys = OrderedKeys(is_exactly_once=True)
    refused, earlier = delivery(2), delivery(1)
    keys.receive(refused, 0)
    keys.receive(earlier, 0)  # late, so that it waits behind what comes after it
    for number in (1, 2, 3):
        refused.settled, refused.is_lost = Settled("ack"), True
        nacked = keys.fail(refused, number).nack
        refused, earlier = (delivery(each, copy=f"again-{number}") for each in (2, 1))
        ready = [keys.receive(each, 20.0 * number).ready for each in (earlier, refused)]

    assert len(nacked) == 1
    assert ready == [[earlier], []]
    assert keys.succeed(earlier, 50).ready == [refused]
