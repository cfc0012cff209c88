from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest

from rele.engine.settlement import settled_once
from tests.unit.conftest import Delivery, raising

METHODS = ["ack", "nack", "drop", "ack_with_response", "nack_with_response"]

Deliver = Callable[..., Delivery]


@pytest.mark.parametrize("method", METHODS)
def test_each_way_to_settle_is_noticed(deliver: Deliver, method: str) -> None:
    delivery = deliver()
    with settled_once(delivery.message) as settlement:
        assert not settlement.is_settled

        getattr(delivery.message, method)()

        assert settlement.is_settled
        assert settlement.method == method
    assert delivery.settlements() == [method.removesuffix("_with_response")]


@pytest.mark.parametrize("second", METHODS)
@pytest.mark.parametrize("first", METHODS)
def test_only_the_first_of_two_counts(deliver: Deliver, first: str, second: str) -> None:
    delivery = deliver()
    with settled_once(delivery.message) as settlement:
        getattr(delivery.message, first)()
        getattr(delivery.message, second)()

    assert settlement.method == first
    assert delivery.settlements() == [first.removesuffix("_with_response")]


def test_the_response_is_handed_over_also_the_second_time(deliver: Deliver) -> None:
    delivery = deliver()
    with settled_once(delivery.message):
        response = delivery.message.ack_with_response()

        assert delivery.message.ack_with_response() is response
        assert response.result(timeout=0).name == "SUCCESS"


def test_a_method_that_raises_has_not_settled(
    deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver()
    monkeypatch.setattr(delivery.message, "ack", raising(ValueError("closed")))
    with settled_once(delivery.message) as settlement:
        with pytest.raises(ValueError, match="closed"):
            delivery.message.ack()

        assert not settlement.is_settled
        delivery.message.nack()

    assert settlement.method == "nack"
    assert delivery.settlements() == ["nack"]


def test_asking_for_more_time_settles_nothing(deliver: Deliver) -> None:
    delivery = deliver()
    with settled_once(delivery.message) as settlement:
        delivery.message.modify_ack_deadline(60)

    assert not settlement.is_settled


def test_the_message_is_put_back_as_it_came(deliver: Deliver) -> None:
    delivery = deliver()
    before = dict(vars(delivery.message))

    with pytest.raises(ValueError, match="inside"):
        with settled_once(delivery.message):
            raise ValueError("inside")

    assert vars(delivery.message) == before


def test_what_shadowed_the_methods_before_is_put_back(deliver: Deliver) -> None:
    delivery = deliver()
    acked: list[str] = []
    own_ack = delivery.message.ack = lambda: acked.append("own")  # type: ignore[method-assign]

    with settled_once(delivery.message):
        delivery.message.ack()

    assert acked == ["own"]
    assert delivery.message.ack is own_ack
    assert delivery.settlements() == []


def test_a_stand_in_for_the_message_is_called(deliver: Deliver) -> None:
    message = Mock()
    ack = message.ack

    with settled_once(message) as settlement:
        message.ack()

    ack.assert_called_once_with()
    assert settlement.is_settled
