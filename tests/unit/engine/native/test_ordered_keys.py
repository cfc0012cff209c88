from __future__ import annotations

import pytest

from rele.engine.native.delivery import Delivery
from rele.engine.native.ordered_keys import OrderedKeys


def delivery(number: int, *, attempt: int = 1, copy: str = "", key: str = "key") -> Delivery:
    return Delivery(f"ack-{number}{copy}", f"id-{number}", key, attempt=attempt)


@pytest.fixture
def keys() -> OrderedKeys:
    return OrderedKeys()


def test_one_message_of_a_key_is_handled_at_a_time(keys: OrderedKeys) -> None:
    first, second = delivery(1), delivery(2)

    assert keys.receive(first) is first
    assert keys.receive(second) is None
    assert keys.succeed(first) is second
    assert keys.succeed(second) is None


def test_keys_do_not_wait_for_each_other(keys: OrderedKeys) -> None:
    first, other = delivery(1, key="a"), delivery(2, key="b")

    assert keys.receive(first) is first
    assert keys.receive(other) is other


def test_what_waits_behind_a_failed_message_is_nacked_with_it(keys: OrderedKeys) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    for each in (first, second, third):
        keys.receive(each)

    assert keys.fail(first) == ([second, third], None)
    again = delivery(1, copy="again")
    assert keys.receive(again) is again


class TestWithDeadLetters:
    @pytest.fixture
    def keys(self) -> OrderedKeys:
        return OrderedKeys(max_attempts=5)

    def test_what_waits_is_held_until_the_failed_one_is_redelivered(
        self, keys: OrderedKeys
    ) -> None:
        first, second = delivery(1), delivery(2)
        keys.receive(first)
        keys.receive(second)

        assert keys.fail(first) == ([], None)
        assert keys.held == 1
        again = delivery(1, attempt=2, copy="again")
        assert keys.receive(again) is again
        assert keys.succeed(again) is second

    def test_a_redelivered_copy_replaces_the_held_one(self, keys: OrderedKeys) -> None:
        first, second = delivery(1), delivery(2)
        keys.receive(first)
        keys.receive(second)
        keys.fail(first)
        again, copy = delivery(1, attempt=2, copy="again"), delivery(2, copy="again")
        keys.receive(again)

        assert keys.receive(copy) is None
        assert second.is_lost
        assert keys.succeed(again) is copy

    def test_the_last_attempt_holds_nothing(self, keys: OrderedKeys) -> None:
        first, second = delivery(1, attempt=5), delivery(2)
        keys.receive(first)
        keys.receive(second)

        assert keys.fail(first) == ([], second)

    def test_what_is_held_can_be_taken(self, keys: OrderedKeys) -> None:
        first, second, third = (delivery(n) for n in (1, 2, 3))
        for each in (first, second, third):
            keys.receive(each)
        keys.fail(first)

        assert keys.take_held() == [second, third]
        assert keys.held == 0


def test_a_lost_delivery_is_not_handled(keys: OrderedKeys) -> None:
    first, second, third = (delivery(n) for n in (1, 2, 3))
    for each in (first, second, third):
        keys.receive(each)
    keys.lose(second)

    assert keys.succeed(first) is third
