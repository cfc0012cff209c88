"""How many messages a subscription has, wherever they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import Backoff
from rele.emulator.delivery.census import Census
from rele.emulator.delivery.message import StoredMessage
from tests.unit.emulator.conftest import Clock, Reader


@pytest.fixture(params=[False, True], ids=["plain", "ordered"])
def any_backlog(request: pytest.FixtureRequest, clock: Clock) -> Backlog:
    backlog = Backlog("0000000a", clock, clock.set_alarm, ordered=request.param)
    clock.action = backlog.advance
    return backlog


@pytest.fixture(params=["", "k"], ids=["keyless", "keyed"])
def publish_one(request: pytest.FixtureRequest, any_backlog: Backlog) -> Callable[[int], None]:
    """Publish the message of that number, at the time of its number."""

    def publish_one(number: int) -> None:
        any_backlog.publish([StoredMessage(number, number, b"x", request.param)])

    return publish_one


def test_messages_wait_are_out_and_are_gone(
    any_backlog: Backlog, publish_one: Callable[[int], None]
) -> None:
    assert any_backlog.census() == Census(0, 0, 0, None)

    for number in (1, 2, 3):
        publish_one(number)
    assert any_backlog.census() == Census(0, 3, 0, 1)

    first, second = Reader(any_backlog).take(2)
    assert any_backlog.census() == Census(1, 1, 2, 1)

    any_backlog.acknowledge([any_backlog.ack_ids.make(first)])
    assert any_backlog.census() == Census(1, 1, 1, 2)

    any_backlog.modify_ack_deadlines([any_backlog.ack_ids.make(second)], [0])
    assert any_backlog.census() == Census(1, 2, 0, 2)


def test_a_message_whose_redelivery_is_delayed_waits(
    any_backlog: Backlog, publish_one: Callable[[int], None], clock: Clock
) -> None:
    any_backlog.configure(backoff=Backoff(5.0, 5.0))
    publish_one(1)
    publish_one(2)
    [first] = Reader(any_backlog).take(1)

    any_backlog.modify_ack_deadlines([any_backlog.ack_ids.make(first)], [0])
    assert any_backlog.census() == Census(1, 2, 0, 1)

    clock.sleep(6)
    assert any_backlog.census() == Census(1, 2, 0, 1)
