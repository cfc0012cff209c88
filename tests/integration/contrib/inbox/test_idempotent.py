"""Idempotent handlers on real databases, also when a message is delivered twice at a time."""

from __future__ import annotations

import itertools
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from google.cloud.pubsub_v1.subscriber.message import Message

import rele
from rele.contrib.inbox import claiming, idempotent
from rele.contrib.inbox.models import InboxMessage
from rele.engine.base import Message as MessageOfHooks
from rele.exceptions import DeadLetter, Drop, Retry
from rele.middleware import BaseMiddleware
from rele.subscription import Subscription
from rele.testing import Delivery, deliver
from testproject.activity.models import Activity
from tests.support.inbox import Inbox

numbers = itertools.count(1)

DB_MIDDLEWARE = "rele.contrib.DjangoDBMiddleware"

EVENT = "0197c1f0-5d0a-7c3e-8000-000000000001"


@pytest.fixture(autouse=True)
def _middleware() -> None:
    rele.setup({"MIDDLEWARE": [DB_MIDDLEWARE]})


def write(alias: str, text: str = "written") -> None:
    Activity.objects.using(alias).create(photo=next(numbers), text=text)


def texts(alias: str) -> list[str]:
    return [activity.text for activity in Activity.objects.using(alias).order_by("pk")]


def handled(alias: str) -> list[tuple[str, str]]:
    rows = InboxMessage.objects.using(alias).order_by("pk")
    return list(rows.values_list("subscription", "event_id"))


def writer(alias: str, topic: str = "orders") -> Subscription:
    """A subscription whose idempotent handler writes the payload."""

    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        write(alias, data)

    return Subscription(handler, topic)


class TestDuplicates:
    def test_an_event_is_handled_once(self, alias: str) -> None:
        orders = writer(alias)

        assert deliver(orders, "first", event_id=EVENT).acked
        assert deliver(orders, "again", event_id=EVENT).acked

        assert texts(alias) == ["first"]
        assert handled(alias) == [("orders", EVENT)]

    def test_other_events_are_handled_too(self, alias: str) -> None:
        orders = writer(alias)

        deliver(orders, "one", event_id=EVENT)
        deliver(orders, "two", event_id=EVENT.upper())

        assert texts(alias) == ["one", "two"]

    def test_each_subscription_handles_it(self, alias: str) -> None:
        deliver(writer(alias, "orders"), "one", event_id=EVENT)
        deliver(writer(alias, "mails"), "two", event_id=EVENT)

        assert texts(alias) == ["one", "two"]

    def test_within_an_atomic_block_of_the_caller(self, alias: str) -> None:
        orders = writer(alias)

        with transaction.atomic(using=alias):
            assert deliver(orders, "first", event_id=EVENT).acked
            assert deliver(orders, "again", event_id=EVENT).acked
            write(alias, "after")

        assert texts(alias) == ["first", "after"]


class TestWhatTheTableRefuses:
    """Only a row of the same event makes a message a duplicate."""

    @pytest.mark.parametrize("alias", ["sqlite"], indirect=True)
    def test_is_no_duplicate(self, alias: str) -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON rele_inbox_inboxmessage "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        try:
            delivery = deliver(writer(alias), "first", event_id=EVENT)
        finally:
            with connections[alias].cursor() as cursor:
                cursor.execute("DROP TRIGGER refuse")

        assert delivery.nacked
        assert isinstance(delivery.exception, IntegrityError)
        assert texts(alias) == []

    def test_is_no_duplicate_on_postgresql(self, postgres: str) -> None:
        """A sequence is behind the ids, as after a restore of the rows alone."""
        deliver(writer(postgres), "first", event_id=EVENT)
        sequence = "pg_get_serial_sequence('rele_inbox_inboxmessage', 'id')"
        with connections[postgres].cursor() as cursor:
            cursor.execute(
                f"SELECT setval({sequence}, max(id), false) FROM rele_inbox_inboxmessage"
            )

        delivery = deliver(writer(postgres), "second", event_id=EVENT.upper())

        assert delivery.nacked
        assert isinstance(delivery.exception, IntegrityError)
        assert deliver(writer(postgres), "third", event_id=EVENT.upper()).acked
        assert texts(postgres) == ["first", "third"]


class ToPostgres:
    """A database router."""

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "postgres"


def test_the_router_says_which_database(postgres: str, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [ToPostgres()]

    @idempotent
    def handler(data: str, **attributes: Any) -> None:
        Activity.objects.create(photo=next(numbers), text=data)

    deliver(Subscription(handler, "orders"), "first", event_id=EVENT)

    assert handled(postgres) == [("orders", EVENT)]
    assert texts(postgres) == ["first"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), Retry(), Drop(), DeadLetter()], ids=repr)
def test_whatever_a_handler_raises_leaves_nothing(alias: str, error: Exception) -> None:
    errors = iter([error])

    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        write(alias, data)
        for reason in errors:
            raise reason

    orders = Subscription(handler, "orders")

    assert deliver(orders, "first", event_id=EVENT).exception is error
    assert (texts(alias), handled(alias)) == ([], [])

    assert deliver(orders, "second", event_id=EVENT).acked
    assert texts(alias) == ["second"]


def test_a_missing_table_is_one_error_with_the_remedy(alias: str) -> None:
    def rename(before: str, after: str) -> None:
        with connections[alias].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {before} RENAME TO {after}")

    rename("rele_inbox_inboxmessage", "elsewhere")
    try:
        delivery = deliver(writer(alias), "first", event_id=EVENT)
    finally:
        rename("elsewhere", "rele_inbox_inboxmessage")

    assert delivery.nacked
    error = delivery.exception
    assert isinstance(error, DatabaseError)
    assert re.fullmatch(
        "The inbox cannot be used: [^\n]*rele_inbox_inboxmessage[^\n]* Its table is missing: run "
        f"`manage.py migrate`, with --database {alias}.",
        str(error),
    )
    assert "django/db/backends" not in "".join(traceback.format_exception(error))
    assert texts(alias) == []


def test_a_statement_that_fails_leaves_nothing(alias: str) -> None:
    @idempotent(using=alias)
    def handler(data: int, **attributes: Any) -> None:
        write(alias)
        Activity.objects.using(alias).create(photo=data, text="taken")

    Activity.objects.using(alias).create(photo=0, text="before")

    delivery = deliver(Subscription(handler, "orders"), 0, event_id=EVENT)

    assert isinstance(delivery.exception, DatabaseError)
    assert (texts(alias), handled(alias)) == (["before"], [])


def test_it_is_acknowledged_after_the_commit(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    acked_within_a_transaction: list[bool] = []
    ack = Message.ack

    def observed_ack(self: Message) -> None:
        acked_within_a_transaction.append(connections[alias].in_atomic_block)
        ack(self)

    monkeypatch.setattr(Message, "ack", observed_ack)

    assert deliver(writer(alias), "first", event_id=EVENT).acked

    assert acked_within_a_transaction == [False]


class SlowHandler:
    """A handler that, having written, waits for what the test decides."""

    def __init__(self, alias: str) -> None:
        self.has_written = threading.Event()
        self.may_end = threading.Event()
        self.error: Exception | None = None
        self._alias = alias
        self._calls = itertools.count()

    def __call__(self, data: str, **attributes: Any) -> None:
        write(self._alias, data)
        if next(self._calls):
            return
        self.has_written.set()
        assert self.may_end.wait(20)
        if self.error is not None:
            raise self.error


@dataclass
class Race:
    """Two deliveries of an event, of which the first is in its handler."""

    alias: str
    handler: SlowHandler
    first: Future[Delivery]
    executor: ThreadPoolExecutor
    orders: Subscription
    is_claiming: threading.Event = field(default_factory=threading.Event)

    def deliver_again(self) -> Future[Delivery]:
        """Begin the second delivery, up to where it waits for the first."""
        second = self.executor.submit(self._deliver, "second")
        assert self.is_claiming.wait(20)
        if connections[self.alias].vendor in WAITING_FOR_A_LOCK:
            wait_for_a_lock(self.alias)
        return second

    def _deliver(self, data: str) -> Delivery:
        def note_claim(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            if sql == "BEGIN IMMEDIATE" or "INSERT" in sql:
                self.is_claiming.set()
            return execute(sql, *args)

        with connections[self.alias].execute_wrapper(note_claim):
            return deliver_and_close(self.alias, self.orders, data)


def deliver_and_close(alias: str, orders: Subscription, data: str) -> Delivery:
    try:
        return deliver(orders, data, event_id=EVENT)
    finally:
        connections[alias].close()


WAITING_FOR_A_LOCK = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def wait_for_a_lock(alias: str) -> None:
    """Return when a transaction waits for another."""
    deadline = time.monotonic() + 20
    with connections[alias].cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(WAITING_FOR_A_LOCK[connections[alias].vendor])
            if cursor.fetchone() != (0,):
                return
            # It notifies nobody, and MariaDB answers from a cache that it renews where the last
            # question was more than 0.1 s ago.
            time.sleep(0.12)
    pytest.fail("no transaction waits for a lock")


@pytest.fixture
def race(alias: str) -> Iterator[Race]:
    handler = SlowHandler(alias)
    orders = Subscription(idempotent(using=alias)(handler), "orders")
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(deliver_and_close, alias, orders, "first")
        assert handler.has_written.wait(20)
        yield Race(alias, handler, first, executor, orders)
        handler.may_end.set()


@pytest.fixture
def short_lock_timeout(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "LOCK_TIMEOUT", 0.3)
    if connections[alias].vendor == "sqlite":
        monkeypatch.setitem(connections.settings[alias]["OPTIONS"], "timeout", 0.3)
    if connections[alias].vendor == "mysql":
        limit = "SET SESSION innodb_lock_wait_timeout = 1"
        monkeypatch.setitem(connections.settings[alias]["OPTIONS"], "init_command", limit)


class TestTwoAtATime:
    def test_the_second_is_a_duplicate_where_the_first_commits(self, race: Race) -> None:
        second = race.deliver_again()
        race.handler.may_end.set()

        assert race.first.result(20).acked
        assert second.result(20).acked
        assert texts(race.alias) == ["first"]

    def test_the_second_handles_it_where_the_first_rolls_back(self, race: Race) -> None:
        second = race.deliver_again()
        race.handler.error = ZeroDivisionError()
        race.handler.may_end.set()

        assert race.first.result(20).nacked
        assert second.result(20).acked
        assert texts(race.alias) == ["second"]
        assert handled(race.alias) == [("orders", EVENT)]

    @pytest.mark.usefixtures("short_lock_timeout")
    def test_the_second_is_nacked_where_the_first_takes_too_long(self, race: Race) -> None:
        second = race.deliver_again().result(20)

        assert second.nacked
        assert isinstance(second.exception, Retry)
        race.handler.may_end.set()
        assert race.first.result(20).acked
        assert texts(race.alias) == ["first"]


class TestPostgres:
    @pytest.fixture(params=["0", "7s"])
    def lock_timeout(
        self, postgres: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> str:
        """That of the database's settings."""
        options = connections.settings[postgres]["OPTIONS"]
        monkeypatch.setitem(options, "options", f"-c lock_timeout={request.param}")
        lock_timeout: str = request.param
        return lock_timeout

    def test_the_handlers_own_statements_have_the_lock_timeout_of_the_settings(
        self, postgres: str, lock_timeout: str
    ) -> None:
        seen: list[str] = []

        @idempotent(using=postgres)
        def handler(data: str, **attributes: Any) -> None:
            seen.append(show_lock_timeout(postgres))

        orders = Subscription(handler, "orders")
        with transaction.atomic(using=postgres):
            deliver(orders, "first", event_id=EVENT)
            seen.append(show_lock_timeout(postgres))
            deliver(orders, "again", event_id=EVENT)
            seen.append(show_lock_timeout(postgres))

        assert seen == [lock_timeout] * 3

    @pytest.mark.parametrize("threshold", [None, 0], ids=["not prepared", "prepared"])
    def test_parameters_may_be_bound_by_the_server(
        self, postgres: str, monkeypatch: pytest.MonkeyPatch, threshold: int | None
    ) -> None:
        options = connections.settings[postgres]["OPTIONS"]
        monkeypatch.setitem(options, "server_side_binding", True)
        monkeypatch.setitem(options, "prepare_threshold", threshold)
        orders = writer(postgres)

        assert deliver(orders, "first", event_id=EVENT).acked
        assert deliver(orders, "again", event_id=EVENT).acked

        assert texts(postgres) == ["first"]

    def test_it_takes_one_statement_and_the_commit(self, postgres: str) -> None:
        statements: list[str] = []

        def note(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            statements.append(sql)
            return execute(sql, *args)

        with connections[postgres].execute_wrapper(note):
            deliver(writer(postgres), "first", event_id=EVENT)

        assert len(statements) == 2, statements  # and the handler's own


def show_lock_timeout(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        [value] = cursor.fetchone()
    return str(value)


class Duplicates(BaseMiddleware):
    """Notes what the inbox skips as duplicates."""

    events = Inbox()

    def post_process_message_duplicate(
        self, subscription: Subscription, message: MessageOfHooks
    ) -> None:
        self.events.put(message.attributes["event_id"])


def test_a_worker_handles_an_event_that_was_published_twice_once(
    postgres: str, run_worker: Callable[..., Any], project_id: str
) -> None:
    orders = writer(postgres)
    run_worker([orders], MIDDLEWARE=[DB_MIDDLEWARE, f"{__name__}.Duplicates"])

    for _ in range(2):
        rele.publish("orders", "paid", event_id=project_id)

    Duplicates.events.wait_until(lambda events: project_id in events)
    assert texts(postgres) == ["paid"]
