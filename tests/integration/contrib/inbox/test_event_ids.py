"""Event ids that the table cannot take, on real databases: such a message is never handled."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

import rele
from rele import Batch, BatchMessage, DeadLetterPolicy, PartialFailure
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.exceptions import UnusableEventIdError
from rele.contrib.inbox.models import InboxMessage
from rele.subscription import Subscription
from rele.testing import deliver
from testproject.activity.models import Activity

numbers = itertools.count(1)

NUL, LONG = "a\0b", "x" * 1025

LONGEST = ["x" * 1024, "😀" * 256, "é" * 512]
"""Ids of 1,024 bytes."""

EACH = pytest.mark.parametrize(
    ("event_id", "reason"),
    [(NUL, "has a NUL character"), (LONG, "has 1025 characters of at most 1024")],
)


@pytest.fixture(autouse=True)
def _middleware() -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]})


def texts(alias: str) -> list[str]:
    return [activity.text for activity in Activity.objects.using(alias).order_by("pk")]


def write(alias: str, text: str) -> None:
    Activity.objects.using(alias).create(photo=next(numbers), text=text)


def sync(alias: str, **options: Any) -> Subscription:
    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        write(alias, data)

    return Subscription(handler, "orders", **options)


def asynchronous(alias: str, **options: Any) -> Subscription:
    @idempotent(using=alias)
    async def handler(data: str, **attributes: Any) -> None:
        await Activity.objects.using(alias).acreate(photo=next(numbers), text=data)

    return Subscription(handler, "orders", **options)


KINDS = pytest.mark.parametrize("make", [sync, asynchronous])

Make = Callable[..., Subscription]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@EACH
@KINDS
def test_without_a_dead_letter_policy_it_is_acked_with_one_error(
    alias: str, make: Make, event_id: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = deliver(make(alias), "first", event_id=event_id)

    assert isinstance(delivery.exception, UnusableEventIdError)
    assert delivery.acked
    assert not delivery.handled
    [error] = errors(caplog)
    assert f"is acknowledged unhandled: Its attribute event_id {reason}, so that" in error
    assert len(error) < 400
    assert texts(alias) == []


@EACH
@KINDS
def test_with_a_dead_letter_policy_it_is_dead_lettered(
    alias: str, make: Make, event_id: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    orders = make(alias, dead_letter_policy=DeadLetterPolicy())

    delivery = deliver(orders, "first", event_id=event_id)

    assert delivery.dead_lettered
    assert delivery.acked
    [error] = errors(caplog)
    assert reason in error
    assert texts(alias) == []


@KINDS
@pytest.mark.parametrize("event_id", LONGEST)
def test_whatever_pubsub_takes_is_recorded(alias: str, make: Make, event_id: str) -> None:
    orders = make(alias)

    assert deliver(orders, "first", event_id=event_id).handled
    assert deliver(orders, "again", event_id=event_id).duplicate
    assert texts(alias) == ["first"]


def batches(alias: str, fails: bool = False, **options: Any) -> Subscription:
    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        for message in messages:
            write(alias, message.data)
        if fails:
            Activity.objects.using(alias).filter(text="two").delete()
            raise PartialFailure(
                {message: ValueError("bad") for message in messages if message.data == "two"}
            )

    return Subscription(handler, "orders", batch=Batch(), **options)


def test_in_a_batch_it_keeps_no_other_message_from_being_handled(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    done = deliver(batches(alias), ["one", "-", "two", "-"], event_id=["a", NUL, "b", LONG])

    assert [each.acked for each in done.messages] == [True] * 4
    assert [each.handled for each in done.messages] == [True, False, True, False]
    assert texts(alias) == ["one", "two"]
    assert len(errors(caplog)) == 2


def test_in_a_batch_it_is_dead_lettered_where_there_is_a_policy(alias: str) -> None:
    orders = batches(alias, dead_letter_policy=DeadLetterPolicy())

    done = deliver(orders, ["one", "-"], event_id=["a", NUL])

    assert [each.dead_lettered for each in done.messages] == [False, True]


def test_in_a_batch_others_may_fail_too(alias: str) -> None:
    done = deliver(batches(alias, fails=True), ["one", "-", "two"], event_id=["a", NUL, "b"])

    assert [each.nacked for each in done.messages] == [False, False, True]
    assert texts(alias) == ["one"]
    assert list(InboxMessage.objects.using(alias).values_list("event_id", flat=True)) == ["a"]


def test_a_batch_may_have_nothing_else(alias: str) -> None:
    done = deliver(batches(alias), ["-", "-"], event_id=[NUL, LONG])

    assert done.acked
    assert not done.handled
    assert texts(alias) == []
