from __future__ import annotations

import pytest

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.ordered_keys import COPIES_WITHIN, IN_TRANSIT, OrderedKeys, Step


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
    assert keys.note_confirmed(second, 91) == [third]
    assert keys.receive(again, 92).ready == [again]


def test_a_failed_message_that_is_redelivered_late_goes_first(keys: OrderedKeys) -> None:
    first, second = delivery(1), delivery(2)
    late, again = delivery(1, copy="late"), delivery(2, copy="again")
    keys.receive(first, 0)
    keys.receive(second, 0)
    keys.fail(first, 0, delay=30)
    keys.expire(90)
    keys.note_confirmed(second, 91)
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

        assert keys.receive(copy, 0) == Step(replaced=second)
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
        assert keys.receive(copies[0], 10.2) == Step(ready=[copies[0]], replaced=deliveries[1])
        assert keys.succeed(copies[0], 10.3) == Step()
        assert keys.receive(copies[1], 10.4) == Step(ready=[copies[1]], replaced=deliveries[2])
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
    assert keys.receive(again, 0) == Step(nack=[late], ready=[again])
    assert keys.receive(late_again, 0) == Step()
    assert keys.succeed(again, 1).ready == [late_again]


def test_what_arrived_before_pubsub_knew_of_the_failure_is_nacked_then(keys: OrderedKeys) -> None:
    first, late = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.fail(first, 0)
    keys.receive(late, 1)

    assert keys.note_confirmed(first, 2) == [late]
    assert keys.next_due() == 7


def test_what_arrives_later_is_nacked_once_since_another_worker_may_have_got_the_failed_one(
    keys: OrderedKeys,
) -> None:
    first, late = delivery(1), delivery(2)
    keys.receive(first, 0)
    keys.fail(first, 0)
    keys.note_confirmed(first, 2)
    late.received_at = 3
    assert keys.receive(late, 3) == Step()

    assert keys.expire(6) == []
    assert keys.expire(7) == [late]
    keys.note_confirmed(late, 8)
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


def test_of_what_was_held_and_nacked_the_first_that_is_redelivered_goes_first(
    keys: OrderedKeys,
) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    for each in (first, third, second):  # the second one was redelivered late
        keys.receive(each, 0)
    keys.fail(first, 0, delay=30)
    assert keys.expire(90) == [third, second]
    keys.note_confirmed(third, 91)
    again = delivery(2, copy="again")
    again.received_at = 92

    assert keys.receive(again, 92).ready == [again]


def test_what_arrives_before_what_was_nacked_is_redelivered_with_it_in_doubt(
    keys: OrderedKeys,
) -> None:
    first, second, third, again = (delivery(n) for n in (1, 2, 3, 3))
    keys.receive(first, 0)
    keys.receive(third, 0)
    keys.fail(first, 0, delay=30)
    keys.expire(90)
    keys.note_confirmed(third, 91)
    second.received_at = again.received_at = 92

    assert keys.receive(second, 92) == Step()
    assert keys.receive(again, 92) == Step(nack=[second, again])
