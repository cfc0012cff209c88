from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError, connection, transaction
from django.test import TestCase

import rele
from rele import Callback, Subscription, sub
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.exceptions import TransactionBrokenError
from rele.contrib.inbox.models import InboxMessage
from rele.testing import adeliver
from rele.testing import deliver as deliver_to
from testproject.activity.models import Activity
from tests.support.deliveries import Delivery
from tests.support.recorder import Recorder

EVENT = "0197c1f0-5d0a-7c3e-8000-000000000001"

numbers = itertools.count(1)

pytestmark = pytest.mark.django_db


@idempotent
def write(data: str, **attributes: Any) -> str:
    Activity.objects.create(photo=next(numbers), text=data)
    return data.upper()


ORDERS = Subscription(write, "orders")


def texts() -> list[str]:
    return [activity.text for activity in Activity.objects.order_by("pk")]


class TestDuplicates:
    def test_the_hook_gets_the_subscription_and_googles_message(
        self, hooks: Recorder, deliver: Callable[..., Delivery]
    ) -> None:
        first, second = deliver(b'"first"', event_id=EVENT), deliver(b'"again"', event_id=EVENT)

        Callback(ORDERS)(first.message)
        assert "post_process_message_duplicate" not in hooks.names

        Callback(ORDERS)(second.message)
        assert hooks.arguments_of("post_process_message_duplicate") == (ORDERS, second.message)
        assert second.settlements() == ["ack"]

    def test_a_line_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "rele.contrib.inbox")
        deliver_to(ORDERS, "first", event_id=EVENT)
        assert not [record for record in caplog.records if "skipped" in record.message]

        deliver_to(ORDERS, "again", event_id=EVENT)

        [record] = [record for record in caplog.records if "skipped" in record.message]
        assert record.levelname == "INFO"
        assert EVENT in record.message
        assert str(ORDERS) in record.message

    @pytest.mark.parametrize("attributes", [{}, {"event_id": ""}])
    def test_without_an_event_id_the_message_id_counts(
        self, deliver: Callable[..., Delivery], attributes: dict[str, str]
    ) -> None:
        delivery = deliver(b'"first"', **attributes)
        Callback(ORDERS)(delivery.message)
        Callback(ORDERS)(delivery.message)
        assert deliver_to(ORDERS, "second", **attributes).acked

        assert texts() == ["first", "second"]

    def test_the_result_is_the_handlers(self) -> None:
        assert deliver_to(ORDERS, "first", event_id=EVENT).result == "FIRST"
        assert deliver_to(ORDERS, "again", event_id=EVENT).result is None

    def test_a_delivery_says_so(self) -> None:
        first = deliver_to(ORDERS, "first", event_id=EVENT)
        again = deliver_to(ORDERS, "again", event_id=EVENT)

        assert (first.handled, first.duplicate) == (True, False)
        assert (again.handled, again.filtered, again.duplicate) == (False, False, True)


class TestWhatItDecorates:
    def test_a_handler_under_sub(self) -> None:
        @sub("orders", suffix="subs")
        @idempotent(using="default")
        def book(data: str, **attributes: Any) -> None:
            Activity.objects.create(photo=next(numbers), text=data)

        assert book.name == "orders-subs"
        assert str(book).endswith(" - book")
        deliver_to(book, "first", event_id=EVENT)
        deliver_to(book, "again", event_id=EVENT)
        assert texts() == ["first"]

    def test_a_method_of_a_subscription(self) -> None:
        class Orders(Subscription):
            def __init__(self) -> None:
                super().__init__(self.handle, "orders")

            @idempotent
            def handle(self, data: str, **attributes: Any) -> None:
                Activity.objects.create(photo=next(numbers), text=f"{self.topic} {data}")

        deliver_to(Orders(), "first", event_id=EVENT)
        deliver_to(Orders(), "again", event_id=EVENT)

        assert texts() == ["orders first"]

    def test_a_handler_under_another_decorator(self) -> None:
        @wraps(write)
        def shout(data: str, **attributes: Any) -> str:
            return write(data.upper(), **attributes)

        orders = Subscription(shout, "orders")
        deliver_to(orders, "first", event_id=EVENT)
        deliver_to(orders, "again", event_id=EVENT)

        assert texts() == ["FIRST"]

    def test_an_attribute_with_the_name_of_the_data_is_left_out(self) -> None:
        assert deliver_to(ORDERS, "first", event_id=EVENT, data="no", args="yes").acked
        assert texts() == ["first"]

    def test_a_subscription_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="put @sub over @idempotent"):
            idempotent(ORDERS)

    def test_a_generator_is_refused(self) -> None:
        def handler(data: str, **attributes: Any) -> Iterator[str]:
            yield data

        with pytest.raises(RuntimeError, match="handler is a generator function"):
            idempotent(handler)

    def test_a_coroutine_that_is_run_is_a_handler(self) -> None:
        async def handler(data: str, **attributes: Any) -> None:
            await Activity.objects.acreate(photo=next(numbers), text=data)

        orders = Subscription(idempotent(async_to_sync(handler)), "orders")

        deliver_to(orders, "first", event_id=EVENT)
        deliver_to(orders, "again", event_id=EVENT)

        assert texts() == ["first"]
        assert str(orders) == "orders - handler"

    def test_a_coroutine_that_is_returned_is_a_failure_and_nothing_is_noted(self) -> None:
        def handler(data: str, **attributes: Any) -> Any:
            async def work() -> None: ...

            Activity.objects.create(photo=next(numbers), text=data)
            return work()

        orders = Subscription(idempotent(handler), "orders")

        for _ in range(2):
            delivery = deliver_to(orders, "first", event_id=EVENT)

            assert delivery.nacked
            assert "returned a coroutine" in str(delivery.exception)
        assert texts() == []


class TestPlainCalls:
    def test_nothing_is_noted(self) -> None:
        assert ORDERS("first", event_id=EVENT) == "FIRST"
        assert write("again", event_id=EVENT) == "AGAIN"

        assert texts() == ["first", "again"]
        assert not InboxMessage.objects.exists()

    def test_the_handler_runs_in_a_transaction(self) -> None:
        @idempotent
        def fail(data: str, **attributes: Any) -> None:
            Activity.objects.create(photo=next(numbers), text=data)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail("first")

        assert texts() == []

    def test_one_of_another_idempotent_function_is_a_part_of_the_handler(self) -> None:
        @idempotent
        def write_twice(data: str, **attributes: Any) -> None:
            write(f"{data} once", **attributes)
            write(f"{data} twice", **attributes)

        orders = Subscription(write_twice, "orders")

        assert deliver_to(orders, "first", event_id=EVENT).acked
        assert deliver_to(orders, "again", event_id=EVENT).acked

        assert texts() == ["first once", "first twice"]

    def test_one_of_a_handler_that_is_not_idempotent_is_an_error(self) -> None:
        def handler(data: str, **attributes: Any) -> None:
            write(data, **attributes)

        delivery = deliver_to(Subscription(handler, "orders"), "first", event_id=EVENT)

        with pytest.raises(RuntimeError, match=r"write is idempotent, .* of orders - handler"):
            raise delivery.exception or AssertionError
        assert not InboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_plain_call_commits() -> None:
    seen: list[bool] = []

    @idempotent
    def handler(data: str, **attributes: Any) -> None:
        transaction.on_commit(lambda: seen.append(connection.in_atomic_block))

    handler("first")

    assert seen == [False]


class TestInAProjectsTestCase(TestCase):
    def setUp(self) -> None:
        rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]})

    def test_an_event_is_handled_once(self) -> None:
        assert deliver_to(ORDERS, "first", event_id=EVENT).acked
        assert deliver_to(ORDERS, "again", event_id=EVENT).acked

        assert texts() == ["first"]

    def test_a_handler_that_catches_an_integrity_error_has_failed(self) -> None:
        @idempotent
        def handler(data: str, **attributes: Any) -> None:
            Activity.objects.create(photo=1, text=data)
            with pytest.raises(IntegrityError):
                Activity.objects.create(photo=1, text="taken")

        delivery = deliver_to(Subscription(handler, "orders"), "first", event_id=EVENT)

        assert delivery.nacked
        assert isinstance(delivery.exception, TransactionBrokenError)
        assert texts() == []
        assert deliver_to(ORDERS, "second", event_id=EVENT).acked
        assert texts() == ["second"]

    def test_what_waits_for_the_commit_is_captured(self) -> None:
        @idempotent
        def handler(data: str, **attributes: Any) -> None:
            transaction.on_commit(lambda: None)

        with self.captureOnCommitCallbacks() as callbacks:
            deliver_to(Subscription(handler, "orders"), "first", event_id=EVENT)

        assert len(callbacks) == 1


class TestAnAsyncHandler:
    """Its ORM calls run in the thread of the test, and so in the transaction of the test."""

    @staticmethod
    @idempotent
    async def write(data: str, **attributes: Any) -> str:
        await Activity.objects.acreate(photo=next(numbers), text=data)
        return data.upper()

    def test_handles_an_event_once(self) -> None:
        orders = Subscription(self.write, "orders")

        assert deliver_to(orders, "first", event_id=EVENT).result == "FIRST"
        again = deliver_to(orders, "again", event_id=EVENT)

        assert (again.result, again.duplicate, again.acked) == (None, True, True)
        assert texts() == ["first"]

    def test_that_fails_leaves_nothing(self) -> None:
        @idempotent
        async def fail(data: str, **attributes: Any) -> None:
            await self.write(data)
            raise ValueError("no")

        assert deliver_to(Subscription(fail, "orders"), "first", event_id=EVENT).nacked
        assert texts() == []
        assert not InboxMessage.objects.exists()

    def test_can_be_called_by_itself(self) -> None:
        assert async_to_sync(self.write)("first") == "FIRST"
        assert texts() == ["first"]
        assert not InboxMessage.objects.exists()

    def test_is_delivered_to_by_an_async_test(self) -> None:
        orders = Subscription(self.write, "orders")

        assert async_to_sync(adeliver)(orders, "first", event_id=EVENT).handled
        assert async_to_sync(adeliver)(orders, "again", event_id=EVENT).duplicate
        assert texts() == ["first"]
