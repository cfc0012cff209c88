"""Idempotent handlers of batches on real databases: one transaction for each batch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction

import rele
from rele import Batch, BatchMessage, PartialFailure
from rele.contrib.inbox import claiming_together, idempotent
from rele.contrib.inbox.exceptions import TransactionBrokenError
from rele.contrib.inbox.models import InboxMessage
from rele.exceptions import Drop, Retry
from rele.middleware import BaseMiddleware
from rele.subscription import Subscription
from rele.testing import Delivery, deliver
from testproject.activity.models import Activity

numbers = itertools.count(1)


class Duplicates(BaseMiddleware):
    """Notes the messages for whose duplicates the hook ran."""

    seen: list[str] = []  # noqa: RUF012 - one for all instances

    def post_process_message_duplicate(self, subscription: Any, message: Any) -> None:
        self.seen.append(message.attributes["event_id"])


@pytest.fixture(autouse=True)
def duplicates() -> list[str]:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware", f"{__name__}.Duplicates"]})
    Duplicates.seen = []
    return Duplicates.seen


def texts(alias: str) -> list[str]:
    return sorted(Activity.objects.using(alias).values_list("text", flat=True))


def handled(alias: str) -> list[str]:
    return sorted(InboxMessage.objects.using(alias).values_list("event_id", flat=True))


def write(alias: str, messages: list[BatchMessage]) -> None:
    Activity.objects.using(alias).bulk_create(
        Activity(photo=next(numbers), text=message.data) for message in messages
    )


Then = Callable[[list[BatchMessage]], Any]


def writer(alias: str, then: Then = lambda messages: None) -> Subscription:
    """A subscription whose idempotent handler writes all payloads, and then calls ``then``."""

    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> Any:
        write(alias, messages)
        return then(messages)

    return Subscription(handler, "orders", batch=Batch())


def send(subscription: Subscription, **events: str) -> Delivery:
    """Deliver a batch of messages: the event id and the payload of each."""
    return deliver(subscription, list(events.values()), event_id=list(events))


def test_each_event_is_handled_once(alias: str, duplicates: list[str]) -> None:
    orders = writer(alias)

    first = send(orders, a="one", b="two")
    again = send(orders, b="again", c="three", a="again")

    assert first.acked
    assert first.handled
    assert again.acked
    assert [each.duplicate for each in again.messages] == [True, False, True]
    assert [each.handled for each in again.messages] == [False, True, False]
    assert texts(alias) == ["one", "three", "two"]
    assert handled(alias) == ["a", "b", "c"]
    assert sorted(duplicates) == ["a", "b"]


def test_the_handler_is_not_called_without_a_new_message(alias: str) -> None:
    calls: list[int] = []
    orders = writer(alias, lambda messages: calls.append(len(messages)))
    send(orders, a="one", b="two")

    again = send(orders, a="again", b="again")

    assert again.duplicate
    assert calls == [2]


def test_an_event_that_a_batch_has_twice_is_handled_once(alias: str, duplicates: list[str]) -> None:
    done = deliver(writer(alias), ["one", "two", "again"], event_id=["a", "b", "a"])

    assert done.acked
    assert [each.duplicate for each in done.messages] == [False, False, True]
    assert texts(alias) == ["one", "two"]
    assert duplicates == ["a"]


def test_the_rows_of_a_batch_are_inserted_by_one_statement(alias: str) -> None:
    inserts: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        inserts.append(sql) if "INSERT" in sql and InboxMessage._meta.db_table in sql else None
        return execute(sql, *args)

    orders = writer(alias)
    with connections[alias].execute_wrapper(note):
        deliver(orders, ["x"] * 600, event_id=[f"event-{number}" for number in range(600)])

    assert len(inserts) == 1
    assert len(handled(alias)) == 600


@pytest.mark.parametrize("error", [ValueError("boo"), Drop(), Retry(5)], ids=repr)
def test_any_error_rolls_everything_back(alias: str, error: Exception) -> None:
    def fail(messages: list[BatchMessage]) -> None:
        messages[0].ack()
        raise error

    done = send(writer(alias, fail), a="one", b="two")

    assert done.exception is error
    assert done.nacked != isinstance(error, Drop)
    assert texts(alias) == []
    assert handled(alias) == []


def test_a_duplicate_of_a_batch_that_fails_is_acked_all_the_same(alias: str) -> None:
    send(writer(alias), a="one")

    def fail(messages: list[BatchMessage]) -> None:
        raise ValueError

    done = send(writer(alias, fail), a="again", b="two")

    assert [each.acked for each in done.messages] == [True, False]
    assert texts(alias) == ["one"]


@pytest.mark.parametrize("names", [True, False], ids=["PartialFailure", "nack"])
def test_a_partial_failure_commits_without_rows_for_what_it_names(alias: str, names: bool) -> None:
    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        failed = {}
        for message in messages:
            try:
                with transaction.atomic(using=alias):
                    write(alias, [message])
                    if message.data == "bad":
                        raise ValueError("bad")
            except ValueError as error:
                failed[message] = error
                if not names:
                    message.nack(error)
        if names and failed:
            raise PartialFailure(failed)

    orders: Subscription = Subscription(handler, "orders", batch=Batch())

    done = send(orders, a="one", b="bad", c="three")

    assert [each.acked for each in done.messages] == [True, False, True]
    assert texts(alias) == ["one", "three"]
    assert handled(alias) == ["a", "c"]
    again = send(orders, a="one", b="good", c="three")
    assert again.acked
    assert texts(alias) == ["good", "one", "three"]


def test_all_may_be_named(alias: str) -> None:
    def fail(messages: list[BatchMessage]) -> None:
        Activity.objects.using(alias).all().delete()
        raise PartialFailure({message: ValueError() for message in messages})

    done = send(writer(alias, fail), a="one", b="two")

    assert not done.acked
    assert done.nacked
    assert handled(alias) == []


def test_a_second_message_about_a_failed_event_fails_with_it(alias: str) -> None:
    def fail(messages: list[BatchMessage]) -> None:
        raise PartialFailure({messages[0]: ValueError()})

    done = deliver(writer(alias, fail), ["one", "two", "again"], event_id=["a", "b", "a"])

    assert [each.acked for each in done.messages] == [False, True, False]
    assert handled(alias) == ["b"]


def test_a_partial_failure_that_names_something_else_rolls_back(alias: str) -> None:
    def fail(messages: list[BatchMessage]) -> None:
        raise PartialFailure({messages[0].id: ValueError()})

    done = send(writer(alias, fail), a="one", b="two")

    assert "is no message of its batch" in str(done.exception)
    assert [each.nacked for each in done.messages] == [True, True]
    assert texts(alias) == handled(alias) == []


def test_a_transaction_that_cannot_be_committed_fails_all(alias: str) -> None:
    def ask_for_a_rollback(messages: list[BatchMessage]) -> None:
        messages[0].ack()
        transaction.set_rollback(True, using=alias)

    done = send(writer(alias, ask_for_a_rollback), a="one", b="two")

    assert isinstance(done.exception, TransactionBrokenError)
    assert [each.nacked for each in done.messages] == [True, True]
    assert texts(alias) == handled(alias) == []


def test_within_an_atomic_block_of_the_caller(alias: str) -> None:
    orders = writer(alias)

    with transaction.atomic(using=alias):
        assert send(orders, a="one", b="two").acked
        assert send(orders, b="again", c="three").acked

    assert texts(alias) == ["one", "three", "two"]


def test_another_idempotent_function_is_a_part(alias: str) -> None:
    @idempotent(using=alias)
    def part(data: str, **attributes: Any) -> None:
        Activity.objects.using(alias).create(photo=next(numbers), text=data)

    def call(messages: list[BatchMessage]) -> None:
        part("part")

    assert send(writer(alias, call), a="one").acked
    assert texts(alias) == ["one", "part"]
    assert handled(alias) == ["a"]


# SQLite has one writer at a time.
@pytest.mark.parametrize("alias", ["postgres", "mariadb"], indirect=True)
def test_two_batches_at_a_time_handle_an_event_once(alias: str) -> None:
    """The second one waits for the first, and then finds what that has handled."""
    begun, second_begins = threading.Event(), threading.Event()

    def wait_once(messages: list[BatchMessage]) -> None:
        begun.set()
        second_begins.wait(10)

    orders = writer(alias, wait_once)

    def second() -> Delivery:
        assert begun.wait(10)
        threading.Timer(0.3, second_begins.set).start()
        return send(orders, c="three", b="again", a="again")

    with ThreadPoolExecutor(2) as pool:
        deliveries = [pool.submit(send, orders, a="one", b="two"), pool.submit(second)]
        results = [each.result(30) for each in deliveries]

    assert all(each.acked for each in results)
    assert texts(alias) == ["one", "three", "two"]
    assert handled(alias) == ["a", "b", "c"]


def test_a_batch_waits_no_longer_than_the_lock_timeout(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming_together, "LOCK_TIMEOUT", 0.2)
    begun, may_end = threading.Event(), threading.Event()

    def wait(messages: list[BatchMessage]) -> None:
        begun.set()
        assert may_end.wait(20)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, writer(postgres, wait), a="one")
        assert begun.wait(10)
        second = send(writer(postgres), a="again", b="two")
        may_end.set()
        assert first.result(20).acked

    assert isinstance(second.exception, Retry)
    assert second.nacked
    assert texts(postgres) == ["one"]


def test_the_lock_timeout_of_the_project_counts_for_the_handler(postgres: str) -> None:
    seen: list[str] = []

    def ask(messages: list[BatchMessage]) -> None:
        with connections[postgres].cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.extend(cursor.fetchone())

    send(writer(postgres, ask), a="one", b="two")

    assert seen == ["0"]


def test_an_async_handler_has_one_transaction_a_batch(alias: str) -> None:
    @idempotent(using=alias)
    async def handler(messages: list[BatchMessage]) -> None:
        failed = {}
        for message in messages:
            await Activity.objects.using(alias).acreate(photo=next(numbers), text=message.data)
            if message.data == "bad":
                failed[message] = ValueError("bad")
        if any(message.data == "worse" for message in messages):
            raise ValueError("worse")
        if failed:
            await Activity.objects.using(alias).filter(text="bad").adelete()
            raise PartialFailure(failed)

    orders: Subscription = Subscription(handler, "orders", batch=Batch())

    assert [each.acked for each in send(orders, a="one", b="bad").messages] == [True, False]
    assert [each.acked for each in send(orders, c="three", d="worse").messages] == [False, False]
    assert send(orders, a="again", c="three", b="good").acked
    assert texts(alias) == ["good", "one", "three"]
    assert handled(alias) == ["a", "b", "c"]
