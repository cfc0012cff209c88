"""The message that handlers, hooks and settlements see."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from unittest.mock import Mock

import pytest
from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage

from rele.engine.base import Message, WrappedMessage, as_message
from tests.support.deliveries import Delivery
from tests.support.recorder import raising

METHODS = ["ack", "nack", "drop", "ack_with_response", "nack_with_response"]

Deliver = Callable[..., Delivery]


def kind_of(method: str) -> str:
    return method.removesuffix("_with_response")


class TestSettlement:
    @pytest.mark.parametrize("method", METHODS)
    def test_each_way_to_settle_is_known_afterwards(self, deliver: Deliver, method: str) -> None:
        delivery = deliver()
        assert delivery.message.settled_as is None

        getattr(delivery.message, method)()

        assert delivery.message.settled_as == kind_of(method)
        assert delivery.settlements() == [kind_of(method)]

    @pytest.mark.parametrize("second", METHODS)
    @pytest.mark.parametrize("first", METHODS)
    def test_only_the_first_of_two_counts(
        self, deliver: Deliver, first: str, second: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "rele")
        delivery = deliver()
        getattr(delivery.message, first)()
        getattr(delivery.message, second)()

        assert delivery.message.settled_as == kind_of(first)
        assert delivery.settlements() == [kind_of(first)]
        [record] = caplog.records
        assert record.levelname == "DEBUG"
        assert f"{kind_of(second)} was called on a message after {kind_of(first)}" in caplog.text

    def test_only_one_of_many_threads_settles(self, deliver: Deliver) -> None:
        delivery = deliver()
        together = threading.Barrier(8)

        def settle(method: str) -> None:
            together.wait(10)
            getattr(delivery.message, method)()

        threads = [threading.Thread(target=settle, args=[METHODS[n % 2]]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        assert delivery.settlements() == [delivery.message.settled_as]

    def test_one_that_is_settled_again_while_it_is_settled_is_settled_once(self) -> None:
        stand_in = Mock()
        message = as_message(stand_in)
        stand_in.ack.side_effect = message.nack

        message.ack()

        assert message.settled_as == "ack"
        stand_in.nack.assert_not_called()

    @pytest.mark.parametrize("kind", ["ack", "nack"])
    def test_the_response_is_handed_over_also_the_second_time(
        self, deliver: Deliver, kind: str
    ) -> None:
        settle = getattr(deliver().message, f"{kind}_with_response")
        response = settle()

        assert settle() is response
        assert response.result(timeout=0).name == "SUCCESS"

    def test_asking_for_a_response_after_another_settlement_is_an_error(
        self, deliver: Deliver
    ) -> None:
        message = deliver().message
        message.nack()

        with pytest.raises(RuntimeError, match="settled before, by nack"):
            message.ack_with_response().result(timeout=0)
        assert message.ack_response is None

    def test_who_asks_for_a_response_after_an_ack_without_one_gets_a_future(
        self, deliver: Deliver
    ) -> None:
        message = deliver().message
        message.ack()

        assert message.ack_with_response().result(timeout=0) is None

    def test_an_ack_can_be_made_to_ask_for_the_response(self, deliver: Deliver) -> None:
        delivery = deliver()
        delivery.message.acks_with_response = True

        delivery.message.ack()

        assert delivery.message.ack_response is not None
        assert delivery.message.ack_response.result(timeout=0).name == "SUCCESS"
        assert delivery.settlements() == ["ack"]

    def test_a_method_that_raises_has_not_settled(
        self, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        delivery = deliver()
        monkeypatch.setattr(delivery.google_message, "ack", raising(ValueError("closed")))
        with pytest.raises(ValueError, match="closed"):
            delivery.message.ack()

        assert delivery.message.settled_as is None
        delivery.message.nack()

        assert delivery.message.settled_as == "nack"
        assert delivery.settlements() == ["nack"]

    def test_asking_for_more_time_settles_nothing(self, deliver: Deliver) -> None:
        delivery = deliver()

        delivery.message.modify_ack_deadline(60)
        response = delivery.message.modify_ack_deadline_with_response(90)

        assert response.result(timeout=0).name == "SUCCESS"
        assert delivery.message.settled_as is None
        assert [request.seconds for request in delivery.requests()] == [60, 90]


class TestWrappedMessage:
    def test_a_message_is_not_wrapped_again(self, deliver: Deliver) -> None:
        message = deliver().message

        assert as_message(message) is message

    def test_it_has_whatever_is_public_of_googles(self, deliver: Deliver) -> None:
        delivery = deliver(b'{"id": 1}', lang="en")
        public = [name for name in dir(GoogleMessage) if not name.startswith("_")]
        values = [name for name in public if not callable(getattr(GoogleMessage, name))]

        assert {"data", "attributes", "publish_time", "ordering_key", "size"} <= set(values)
        for name in [*values, "message_id"]:
            assert getattr(delivery.message, name) == getattr(delivery.google_message, name)
        assert [name for name in public if not hasattr(delivery.message, name)] == []

    def test_googles_is_as_it_came(self, deliver: Deliver) -> None:
        delivery = deliver()
        before = dict(vars(delivery.google_message))

        delivery.message.ack()

        assert vars(delivery.google_message) == before

    def test_it_equals_what_it_wraps_and_hashes_alike(self, deliver: Deliver) -> None:
        one, other = deliver(), deliver()

        assert one.message == one.google_message
        assert one.google_message == one.message
        assert one.message == as_message(one.google_message)
        assert one.message != other.message
        assert one.message != other.google_message
        assert {one.google_message: "found"}[one.message] == "found"  # type: ignore[index]

    def test_its_text_is_that_of_what_it_wraps(self, deliver: Deliver) -> None:
        delivery = deliver(b'{"id": 1}', lang="en")

        assert str(delivery.message) == str(delivery.google_message)
        assert repr(delivery.message) == repr(delivery.google_message)

    def test_unknown_attributes_are_those_of_what_it_wraps(self) -> None:
        class StandIn:
            tenant: str

        stand_in = StandIn()
        message: Any = as_message(stand_in)
        assert not hasattr(message, "tenant")

        message.tenant = "shop"

        assert (message.tenant, stand_in.tenant) == ("shop", "shop")
        del message.tenant
        assert not hasattr(stand_in, "tenant")

    def test_an_attribute_that_can_be_written_is_written(self) -> None:
        stand_in = Mock(message_id="1")
        message = as_message(stand_in)

        message.message_id = "2"

        assert (message.message_id, stand_in.message_id) == ("2", "2")

    def test_what_google_lets_nobody_write_stays(self, deliver: Deliver) -> None:
        message = deliver(b"1").message

        with pytest.raises(AttributeError):
            message.data = b"2"

        assert message.data == b"1"

    def test_a_middleware_can_put_a_method_of_its_own_around_one(self, deliver: Deliver) -> None:
        delivery = deliver()
        acked: list[str] = []
        message: Any = delivery.message
        original = message.ack

        def ack() -> None:
            acked.append("seen")
            original()

        message.ack = ack
        message.ack()

        assert acked == ["seen"]
        assert message.settled_as == "ack"
        del message.ack
        message.ack()
        assert acked == ["seen"]
        assert delivery.settlements() == ["ack"]

    def test_a_copy_can_be_made(self) -> None:
        message = as_message(Mock(data=b"1"))

        assert copy.copy(message) == message

    def test_a_stand_in_for_the_message_is_called(self) -> None:
        stand_in = Mock()

        as_message(stand_in).ack()

        stand_in.ack.assert_called_once_with()

    def test_a_stand_in_need_not_have_everything(self) -> None:
        message = as_message(object())

        with pytest.raises(AttributeError, match="delivery_attempt"):
            _ = message.delivery_attempt


class OwnMessage(Message):
    """As an engine of another kind has it."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b"1"
        self.sent: list[tuple[str, bool]] = []

    def modify_ack_deadline(self, seconds: int) -> None: ...

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        return Future()

    def _send(self, settlement: str, with_response: bool) -> Any:
        self.sent.append((settlement, with_response))
        return Future() if with_response else None


def test_an_engine_can_have_messages_of_its_own() -> None:
    message = OwnMessage()

    message.nack_with_response()
    message.ack()

    assert as_message(message) is message
    assert not isinstance(message, WrappedMessage)
    assert (message.settled_as, message.sent) == ("nack", [("nack", True)])
