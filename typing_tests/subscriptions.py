"""What type checkers see of subscriptions. Nothing here is run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync
from typing_extensions import assert_type

import rele
from rele import (
    Batch,
    BatchMessage,
    Callback,
    DeadLetterPolicy,
    PartialFailure,
    RetryPolicy,
    Subscription,
    sub,
)
from rele.contrib.inbox import idempotent
from rele.testing import Delivery, deliver

Order = dict[str, int]


@sub(topic="order-paid", suffix="ship", retry_policy=RetryPolicy(10, 600), ack_deadline=60)
def ship(data: Order, **attributes: str) -> int:
    return data["id"]


@rele.sub("order-paid")
@idempotent
def book(data: Order, *, country: str = "", **attributes: Any) -> list[str]:
    return [country]


@sub("order-paid", dead_letter_policy=DeadLetterPolicy())
@async_to_sync
async def invoice(data: Order, **attributes: Any) -> bytes:
    return b""


def a_call_has_the_result_of_the_function_or_none() -> None:
    assert_type(ship({"id": 42}, country="ES"), int | None)
    assert_type(book({"id": 42}, country="ES", published_at=1.5), list[str] | None)
    assert_type(invoice({"id": 42}), bytes | None)


def a_call_has_the_parameters_of_the_function() -> None:
    ship("42")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ship({"id": 42}, country=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    book({"id": 42}, country=1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ship()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def the_attributes_of_a_subscription_are_typed() -> None:
    assert_type(ship.name, str)
    assert_type(ship.topic, str)
    assert_type(ship.prefix, str | None)
    assert_type(ship.retry_policy, RetryPolicy | None)


def the_class_is_generic_in_parameters_and_result() -> None:
    def handle(data: Order, /) -> int:
        return data["id"]

    assert_type(Subscription(handle, "order-paid"), Subscription[[Order], int])
    handlers: list[Subscription[[Order], int]] = [Subscription(handle, "order-paid")]
    assert_type(handlers[0]({"id": 42}), int | None)


def a_bare_subscription_is_one_of_any_function(any_one: Subscription) -> Subscription:
    assert_type(any_one, Subscription[..., Any])
    assert_type(any_one({"id": 42}, country="ES"), Any | None)
    several: list[Subscription] = [ship, book, invoice]
    return several[0]


def a_decorator_in_two_steps_keeps_the_types() -> None:
    declare = sub("order-paid")

    def handle(data: Order, /) -> int:
        return data["id"]

    assert_type(declare(handle), Subscription[[Order], int])


def without_parentheses_it_is_refused() -> None:
    def handle(data: Order, **attributes: str) -> None: ...

    sub(handle)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


class Archive(Subscription):
    """As the documentation has it."""

    topic = "order-paid"

    def __init__(self) -> None:
        self._func = self.keep
        super().__init__(self._func, self.topic)

    def keep(self, data: Order, **attributes: Any) -> int:
        return data["id"]


class TypedArchive(Subscription[[Order], int]):
    """The same, with the types of the function."""

    def __init__(self) -> None:
        super().__init__(self.keep, "order-paid")

    def keep(self, data: Order, **attributes: Any) -> int:
        return data["id"]


def a_subclass_may_name_the_types() -> None:
    assert_type(Archive()({"id": 42}, country="ES"), Any | None)
    assert_type(TypedArchive()({"id": 42}), int | None)


def a_handler_of_batches_takes_a_list() -> None:
    @sub("order-paid", batch=Batch(max_messages=500, max_wait=timedelta(seconds=1)))
    @idempotent
    def book(messages: list[BatchMessage], /) -> None:
        failed: dict[BatchMessage, Exception] = {}
        for message in messages:
            assert_type(message.data, Any)
            assert_type(message.raw, bytes)
            message.nack(ValueError(message.id))
        raise PartialFailure(failed)

    assert_type(book, Subscription[[list[BatchMessage]], None])


def what_takes_a_subscription_takes_any() -> None:
    assert_type(deliver(ship, {"id": 42}, country="ES"), Delivery)
    callback: Callable[[Any], Any] = Callback(ship)
    callback(None)


def an_option_has_its_type() -> None:
    def handle(data: Order, /) -> int:
        return data["id"]

    sub("order-paid", threads=2, max_lease_duration=timedelta(minutes=5), labels=None)(handle)
    sub(topic="x", threads="two")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    sub("x", retry_policy=10)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Subscription(handle, "x", labels=["team"])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def an_unknown_option_is_refused() -> None:
    def handle(data: Order, /) -> int:
        return data["id"]

    sub(topic="x", thread=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Subscription(handle, "x", thread=2)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def an_option_that_the_reference_does_not_have_is_given_by_keyword() -> None:
    sub("x", "p", "s", None, None, None, 60)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
