"""What an idempotent handler leaves to ``transaction.on_commit``, on real databases."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

import rele
from rele import Batch, BatchMessage, PartialFailure
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.models import InboxMessage
from rele.subscription import Subscription
from rele.testing import Delivery, deliver
from testproject.activity.models import Activity

numbers = itertools.count(1)

Leave = Callable[[], None]
"""Leaves callbacks to the end of the transaction."""


@pytest.fixture(autouse=True)
def _middleware() -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]})


def texts(alias: str) -> list[str]:
    return sorted(Activity.objects.using(alias).values_list("text", flat=True))


def write(alias: str, text: str) -> None:
    Activity.objects.using(alias).create(photo=next(numbers), text=text)


def sync(alias: str, leave: Leave) -> Callable[[], Delivery]:
    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        write(alias, data)
        leave()

    return partial(deliver, Subscription(handler, "orders"), "written", event_id="e")


def asynchronous(alias: str, leave: Leave) -> Callable[[], Delivery]:
    @idempotent(using=alias)
    async def handler(data: str, **attributes: Any) -> None:
        await Activity.objects.using(alias).acreate(photo=next(numbers), text=data)
        await sync_to_async(leave)()

    return partial(deliver, Subscription(handler, "orders"), "written", event_id="e")


def batch(alias: str, leave: Leave) -> Callable[[], Delivery]:
    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        write(alias, messages[0].data)
        leave()

    orders = Subscription(handler, "orders", batch=Batch())
    return partial(deliver, orders, ["written", "again"], event_id=["e", "e"])


KINDS = pytest.mark.parametrize("kind", [sync, asynchronous, batch])

Kind = Callable[[str, Leave], Callable[[], Delivery]]


def failing() -> None:
    raise ZeroDivisionError("in a callback")


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    return [
        record.exc_info[0]
        for record in caplog.records
        if record.levelno == logging.ERROR and record.exc_info
    ]


@KINDS
@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("callback", [failing, partial(failing)])
def test_an_error_is_logged_the_others_run_and_the_message_is_handled(
    alias: str, kind: Kind, robust: bool, callback: Leave, caplog: pytest.LogCaptureFixture
) -> None:
    run: list[str] = []

    def leave() -> None:
        transaction.on_commit(lambda: run.append("first"), using=alias)
        transaction.on_commit(callback, using=alias, robust=robust)
        transaction.on_commit(lambda: run.append("second"), using=alias, robust=robust)
        transaction.on_commit(callback, using=alias, robust=robust)
        transaction.on_commit(lambda: write(alias, "third"), using=alias)

    send = kind(alias, leave)

    assert send().acked
    assert run == ["first", "second"]
    assert texts(alias) == ["third", "written"]
    assert tracebacks(caplog) == [ZeroDivisionError] * 2
    assert "What the handler of orders has left to on_commit has failed" in caplog.text
    assert send().duplicate
    assert run == ["first", "second"]


def test_an_exit_is_an_error_too(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        transaction.on_commit(lambda: exit(1), using=alias)

    assert sync(alias, leave)().handled
    assert tracebacks(caplog) == [SystemExit]


@KINDS
def test_what_was_left_in_a_savepoint_shares_its_end(
    alias: str, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    run: list[str] = []

    def leave() -> None:
        with transaction.atomic(using=alias):
            transaction.on_commit(failing, using=alias)
            transaction.on_commit(lambda: run.append("kept"), using=alias)
        with transaction.atomic(using=alias):
            transaction.on_commit(lambda: run.append("rolled back"), using=alias)
            transaction.set_rollback(True, using=alias)

    assert kind(alias, leave)().acked
    assert run == ["kept"]
    assert tracebacks(caplog) == [ZeroDivisionError]


@KINDS
def test_nothing_runs_where_the_handler_fails(alias: str, kind: Kind) -> None:
    run: list[str] = []

    def leave() -> None:
        transaction.on_commit(lambda: run.append("called"), using=alias)
        raise ValueError

    assert kind(alias, leave)().nacked
    assert run == []
    assert connections[alias].run_on_commit == []


def test_a_batch_that_fails_in_part_is_committed(
    alias: str, caplog: pytest.LogCaptureFixture
) -> None:
    run: list[str] = []

    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        transaction.on_commit(failing, using=alias)
        transaction.on_commit(lambda: run.append("called"), using=alias)
        raise PartialFailure({messages[1]: ValueError("bad")})

    orders = Subscription(handler, "orders", batch=Batch())
    done = deliver(orders, ["one", "two"], event_id=["a", "b"])

    assert [each.acked for each in done.messages] == [True, False]
    assert run == ["called"]


def test_within_a_transaction_of_a_decorator(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        transaction.on_commit(failing, using=alias)
        transaction.on_commit(lambda: write(alias, "called"), using=alias)

    from functools import wraps

    @wraps(handler)
    def decorated(data: str, **attributes: Any) -> None:
        with transaction.atomic(using=alias):
            handler(data, **attributes)

    assert deliver(Subscription(decorated, "orders"), "first", event_id="e").handled
    assert texts(alias) == ["called"]
    assert InboxMessage.objects.using(alias).count() == 1
    assert tracebacks(caplog) == [ZeroDivisionError]


def test_where_the_settings_turn_autocommit_off(
    alias: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run: list[str] = []

    def leave() -> None:
        transaction.on_commit(failing, using=alias)
        transaction.on_commit(lambda: run.append("called"), using=alias)

    connections[alias].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections[alias].settings_dict, "AUTOCOMMIT", False)
        assert sync(alias, leave)().handled
        connections[alias].close()

    assert run == ["called"]
    assert texts(alias) == ["written"]
    assert tracebacks(caplog) == [ZeroDivisionError]
