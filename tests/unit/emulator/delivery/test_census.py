"""How many messages a subscription has, wherever they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rele.emulator.delivery.backlog import DeliveryState
from rele.emulator.delivery.backoff import Backoff
from rele.emulator.delivery.delivery import Census
from rele.emulator.delivery.message import StoredMessage
from tests.unit.emulator.conftest import Clock, Reader


@pytest.fixture(params=[False, True], ids=["plain", "ordered"])
def any_state(request: pytest.FixtureRequest, clock: Clock) -> DeliveryState:
    state = DeliveryState("0000000a", clock, clock.set_alarm, ordered=request.param)
    clock.action = state.advance
    return state


@pytest.fixture(params=["", "k"], ids=["keyless", "keyed"])
def publish_one(request: pytest.FixtureRequest, any_state: DeliveryState) -> Callable[[int], None]:
    """Publish the message of that number, at the time of its number."""

    def publish_one(number: int) -> None:
        any_state.publish([StoredMessage(number, number, b"x", request.param)])

    return publish_one


def test_messages_wait_are_out_and_are_gone(
    any_state: DeliveryState, publish_one: Callable[[int], None]
) -> None:
    assert any_state.census() == Census(0, 0, 0, None)

    for number in (1, 2, 3):
        publish_one(number)
    assert any_state.census() == Census(0, 3, 0, 1)

    first, second = Reader(any_state).take(2)
    assert any_state.census() == Census(1, 1, 2, 1)

    any_state.acknowledge([any_state.ack_ids.make(first)])
    assert any_state.census() == Census(1, 1, 1, 2)

    any_state.modify_ack_deadlines([any_state.ack_ids.make(second)], [0])
    assert any_state.census() == Census(1, 2, 0, 2)


def test_a_message_that_is_held_back_waits(
    any_state: DeliveryState, publish_one: Callable[[int], None], clock: Clock
) -> None:
    any_state.backoff = Backoff(5.0, 5.0)
    publish_one(1)
    publish_one(2)
    [first] = Reader(any_state).take(1)

    any_state.modify_ack_deadlines([any_state.ack_ids.make(first)], [0])
    assert any_state.census() == Census(1, 2, 0, 1)

    clock.sleep(6)
    assert any_state.census() == Census(1, 2, 0, 1)
