"""Idempotent handlers that return although their transaction can no longer be committed."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connections, transaction

import rele
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.exceptions import TransactionBrokenError
from rele.contrib.inbox.models import InboxMessage
from rele.contrib.outbox.models import OutboxMessage
from rele.subscription import Subscription
from rele.testing import Delivery, deliver
from testproject.activity.models import Activity

numbers = itertools.count(1)

TAKEN = 0

EVENT = "0197c1f0-5d0a-7c3e-8000-000000000001"

Break = Callable[[str], None]


@pytest.fixture(autouse=True)
def _outbox(request: pytest.FixtureRequest) -> None:
    alias = next(name for name in ("alias", "postgres", "mariadb") if name in request.fixturenames)
    rele.setup(
        {
            "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"],
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "OUTBOX": {"USING": request.getfixturevalue(alias)},
        }
    )


class Handler:
    """Writes, publishes into the outbox, and breaks its transaction the first time it is called."""

    def __init__(self, alias: str, break_transaction: Break) -> None:
        self._alias = alias
        self._breaks = iter([break_transaction])

    def __call__(self, data: str, **attributes: Any) -> None:
        Activity.objects.using(self._alias).create(photo=next(numbers), text=data)
        if has_outbox(self._alias):
            rele.publish("order-shipped", data)
        for break_transaction in self._breaks:
            break_transaction(self._alias)


def has_outbox(alias: str) -> bool:
    return connections[alias].vendor != "mysql"


def state(alias: str) -> dict[str, list[Any]]:
    """What a look from outside finds in the database."""
    published: list[Any] = []
    if has_outbox(alias):
        published = [bytes(row.data).decode() for row in OutboxMessage.objects.using(alias).all()]
    activities = Activity.objects.using(alias).exclude(photo=TAKEN).order_by("pk")
    return {
        "effects": [activity.text for activity in activities],
        "handled": list(InboxMessage.objects.using(alias).values_list("event_id", flat=True)),
        "published": published,
    }


def first_delivery(alias: str, break_transaction: Break) -> Delivery:
    """What became of the first; nothing of it is left, and the second is handled whole."""
    Activity.objects.using(alias).create(photo=TAKEN, text="before")
    handler = idempotent(using=alias)(Handler(alias, break_transaction))
    orders = Subscription(handler, "orders")

    first = deliver(orders, "first", event_id=EVENT)
    assert state(alias) == {"effects": [], "handled": [], "published": []}
    assert deliver(orders, "second", event_id=EVENT).acked
    assert deliver(orders, "third", event_id=EVENT).acked

    published = ['"second"'] if has_outbox(alias) else []
    assert state(alias) == {"effects": ["second"], "handled": [EVENT], "published": published}
    return first


def assert_failed(delivery: Delivery, reason: str) -> None:
    assert delivery.nacked
    assert isinstance(delivery.exception, TransactionBrokenError)
    assert reason in str(delivery.exception)
    assert "needs a savepoint" in str(delivery.exception)


def catch_an_integrity_error(alias: str) -> None:
    with pytest.raises(IntegrityError):
        Activity.objects.using(alias).create(photo=TAKEN, text="taken")


def ask_for_a_rollback(alias: str) -> None:
    transaction.set_rollback(True, using=alias)


def close_the_connection(alias: str) -> None:
    connections[alias].close()


def execute(alias: str, sql: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)


def catch_an_error_of(sql: str) -> Break:
    def catch(alias: str) -> None:
        with pytest.raises(DatabaseError):
            execute(alias, sql)

    return catch


def roll_back(alias: str) -> None:
    execute(alias, "ROLLBACK")


def violate_at_the_commit(alias: str) -> None:
    execute(alias, "CREATE TEMP TABLE deferred (id int UNIQUE INITIALLY DEFERRED)")
    execute(alias, "INSERT INTO deferred VALUES (1), (1)")


@pytest.mark.parametrize(
    ("break_transaction", "reason"),
    [
        (catch_an_integrity_error, "it is marked for rollback after: "),
        (ask_for_a_rollback, "(it is marked for rollback)"),
        (close_the_connection, "it is marked for rollback"),
        (roll_back, "the database has rolled it back"),
    ],
)
def test_a_handler_whose_transaction_cannot_be_committed_has_failed(
    alias: str, break_transaction: Break, reason: str
) -> None:
    assert_failed(first_delivery(alias, break_transaction), reason)


def test_the_error_that_was_caught_is_the_cause(alias: str) -> None:
    failed = first_delivery(alias, catch_an_integrity_error).exception

    assert failed is not None
    assert isinstance(failed.__cause__, IntegrityError)


def test_with_a_savepoint_as_the_error_advises_it_has_its_effect(alias: str) -> None:
    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        Activity.objects.using(alias).create(photo=next(numbers), text=data)
        try:
            with transaction.atomic(using=alias):
                Activity.objects.using(alias).create(photo=TAKEN, text="taken")
        except IntegrityError:
            pass

    Activity.objects.using(alias).create(photo=TAKEN, text="before")

    assert deliver(Subscription(handler, "orders"), "first", event_id=EVENT).acked
    assert state(alias)["effects"] == ["first"]


def test_a_row_of_another_transaction_is_not_taken_for_its_own(alias: str) -> None:
    """Where it was rolled back, another delivery may have handled the event since."""

    def let_another_handle_it(alias: str) -> None:
        roll_back(alias)
        thread = threading.Thread(target=deliver_elsewhere)
        thread.start()
        thread.join(20)

    def deliver_elsewhere() -> None:
        try:
            deliver(orders, "elsewhere", event_id=EVENT)
        finally:
            connections[alias].close()

    orders = Subscription(idempotent(using=alias)(Handler(alias, let_another_handle_it)), "orders")

    assert_failed(deliver(orders, "first", event_id=EVENT), "the database has rolled it back")
    assert state(alias)["effects"] == ["elsewhere"]


def test_a_part_of_another_handler_fails_the_whole(alias: str) -> None:
    @idempotent(using=alias)
    def part(data: str, **attributes: Any) -> None:
        Activity.objects.using(alias).create(photo=next(numbers), text="part")
        catch_an_integrity_error(alias)

    def call_part(alias: str) -> None:
        part("part")

    assert_failed(first_delivery(alias, call_part), "it is marked for rollback")


@pytest.mark.parametrize("break_transaction", [catch_an_integrity_error, roll_back])
def test_a_plain_call_raises(alias: str, break_transaction: Break) -> None:
    Activity.objects.using(alias).create(photo=TAKEN, text="before")
    handler = idempotent(using=alias)(Handler(alias, break_transaction))

    with pytest.raises(TransactionBrokenError, match="needs a savepoint"):
        handler("first")
    assert state(alias) == {"effects": [], "handled": [], "published": []}

    handler("second")
    assert state(alias)["effects"] == ["second"]


@contextmanager
def locked_elsewhere(alias: str, other: Any) -> Iterator[None]:
    """Hold, by a connection ``other``, the row that is there before the handler runs."""
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM activity_activity WHERE photo = {TAKEN} FOR UPDATE")
        yield
        cursor.execute("ROLLBACK")


@pytest.fixture
def other_connection(request: pytest.FixtureRequest) -> Iterator[Any]:
    alias = next(name for name in ("postgres", "mariadb") if name in request.fixturenames)
    connection = connections[request.getfixturevalue(alias)].copy()
    connection.inc_thread_sharing()
    yield connection
    connection.close()


class TestPostgres:
    """A failed statement aborts the transaction, which Django marks only for some of them."""

    @pytest.mark.parametrize(
        "sql",
        [
            f"INSERT INTO activity_activity (photo, text) VALUES ({TAKEN}, 'taken')",
            "SELECT 1 / 0",
            "SELECT * FROM no_such_table",
            "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)",
        ],
    )
    def test_the_error_of_a_statement_is_caught(self, postgres: str, sql: str) -> None:
        assert_failed(first_delivery(postgres, catch_an_error_of(sql)), "aborted")

    def test_the_error_of_a_query_is_caught(self, postgres: str) -> None:
        def query(alias: str) -> None:
            with pytest.raises(DatabaseError):
                Activity.objects.using(alias).extra(where=["1 / 0 = 1"]).exists()

        assert_failed(first_delivery(postgres, query), "aborted")

    def test_what_its_commit_refuses_has_its_own_error(self, postgres: str) -> None:
        delivery = first_delivery(postgres, violate_at_the_commit)

        assert delivery.nacked
        assert isinstance(delivery.exception, IntegrityError)

    def test_a_lock_that_is_not_waited_for(self, postgres: str, other_connection: Any) -> None:
        def lock(alias: str) -> None:
            taken = Activity.objects.using(alias).select_for_update(nowait=True)
            with locked_elsewhere(alias, other_connection), pytest.raises(OperationalError):
                taken.get(photo=TAKEN)

        assert_failed(first_delivery(postgres, lock), "aborted")

    def test_a_connection_that_was_cut_off(self, postgres: str, other_connection: Any) -> None:
        def cut_off(alias: str) -> None:
            pid = connections[alias].connection.info.backend_pid
            with other_connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(%s, 20000)", [pid])

        delivery = deliver(
            Subscription(idempotent(using=postgres)(Handler(postgres, cut_off)), "orders"),
            "first",
            event_id=EVENT,
        )

        assert delivery.nacked
        assert state(postgres) == {"effects": [], "handled": [], "published": []}

    def test_a_plain_call_raises(self, postgres: str) -> None:
        handler = idempotent(using=postgres)(Handler(postgres, catch_an_error_of("SELECT 1 / 0")))

        with pytest.raises(TransactionBrokenError, match="aborted"):
            handler("first")
        assert state(postgres)["effects"] == []


@pytest.mark.parametrize("alias", ["sqlite"], indirect=True)
def test_sqlite_may_roll_back_by_itself(alias: str) -> None:
    conflict = (
        "INSERT OR ROLLBACK INTO activity_activity (photo, text, happened_at) "
        f"VALUES ({TAKEN}, 'taken', '2026-01-01')"
    )

    delivery = first_delivery(alias, catch_an_error_of(conflict))

    assert_failed(delivery, "the database has rolled it back")


class TestMariaDB:
    def test_a_deadlock_that_is_caught(self, mariadb: str, other_connection: Any) -> None:
        """The server rolls back the transaction that has written less: the handler's."""
        Activity.objects.using(mariadb).bulk_create(
            Activity(photo=number, text="to be locked") for number in range(100_000, 100_100)
        )

        def lose(alias: str) -> None:
            waiting = lose_a_deadlock(alias, other_connection)
            # Later statements would be committed, as those of a new transaction.
            Activity.objects.using(alias).create(photo=next(numbers), text="afterwards")
            waiting.join(20)

        handler = idempotent(using=mariadb)(Handler(mariadb, lose))
        orders = Subscription(handler, "orders")
        Activity.objects.using(mariadb).create(photo=TAKEN, text="before")

        first = deliver(orders, "first", event_id=EVENT)

        assert_failed(first, "the database has rolled it back")
        assert texts_but_locked(mariadb) == []
        assert deliver(orders, "second", event_id=EVENT).acked
        assert texts_but_locked(mariadb) == ["second"]

    def test_a_plain_call_raises(self, mariadb: str) -> None:
        handler = idempotent(using=mariadb)(Handler(mariadb, roll_back))

        with pytest.raises(TransactionBrokenError, match="SAVEPOINT"):
            handler("first")


def texts_but_locked(alias: str) -> list[str]:
    return [text for text in state(alias)["effects"] if text != "to be locked"]


def lose_a_deadlock(alias: str, other: Any) -> threading.Thread:
    """Lock a row that ``other`` waits for, and wait for one that it holds; catch the error."""
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE activity_activity SET text = 'locked' WHERE photo >= 100000")
    update = "UPDATE activity_activity SET text = text WHERE photo = %s"
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT * FROM activity_activity WHERE photo = {TAKEN} FOR UPDATE")

    def wait() -> None:
        with other.cursor() as cursor:
            cursor.execute(update, [TAKEN])
            cursor.execute("ROLLBACK")

    waiting = threading.Thread(target=wait)
    waiting.start()
    with connections[alias].cursor() as cursor:
        with pytest.raises(OperationalError) as error:
            cursor.execute(update, [100_000])
    assert error.value.args[0] == 1213
    return waiting


class TestATransactionAroundTheHandler:
    """As a decorator over ``@idempotent`` makes it: the note is a part of it."""

    @staticmethod
    def delivery(alias: str, afterwards: Break) -> Delivery:
        Activity.objects.using(alias).create(photo=TAKEN, text="before")
        handler = idempotent(using=alias)(Handler(alias, do_nothing))

        @functools.wraps(handler)
        def within_a_transaction(data: str, **attributes: Any) -> None:
            with transaction.atomic(using=alias):
                handler(data, **attributes)
                afterwards(alias)

        orders = Subscription(within_a_transaction, "orders")
        return deliver(orders, "first", event_id=EVENT)

    @pytest.mark.parametrize("break_transaction", [catch_an_integrity_error, ask_for_a_rollback])
    def test_that_is_rolled_back_fails_the_message(
        self, alias: str, break_transaction: Break
    ) -> None:
        delivery = self.delivery(alias, break_transaction)

        assert_failed(delivery, "the database has rolled it back")
        assert state(alias) == {"effects": [], "handled": [], "published": []}

    def test_that_postgresql_has_aborted(self, postgres: str) -> None:
        assert_failed(self.delivery(postgres, catch_an_error_of("SELECT 1 / 0")), "rolled it back")

    def test_that_is_committed_keeps_it(self, alias: str) -> None:
        assert self.delivery(alias, do_nothing).acked
        assert state(alias)["effects"] == ["first"]
        assert state(alias)["handled"] == [EVENT]

    def test_that_is_open_still_is_asked(self, alias: str) -> None:
        """As that of a TestCase, which never commits."""
        with transaction.atomic(using=alias):
            assert self.delivery(alias, do_nothing).acked
            assert state(alias)["effects"] == ["first"]
            transaction.set_rollback(True, using=alias)


def do_nothing(alias: str) -> None:
    """Leave the transaction as it is."""


def commit(alias: str) -> None:
    execute(alias, "COMMIT")


def run_a_script(alias: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.executescript("SELECT 1;")


def change_the_schema(alias: str) -> None:
    execute(alias, "CREATE TABLE IF NOT EXISTS rele_implied_commit (id int)")


class TestATransactionThatTheHandlerCommits:
    """A handler that fails afterwards has not handled the message, although it is noted."""

    @staticmethod
    def assert_redelivered(alias: str, commit: Break, caplog: pytest.LogCaptureFixture) -> None:
        def commit_and_fail(alias: str) -> None:
            commit(alias)
            raise ZeroDivisionError

        orders = Subscription(idempotent(using=alias)(Handler(alias, commit_and_fail)), "orders")

        assert isinstance(deliver(orders, "first", event_id=EVENT).exception, ZeroDivisionError)
        assert "The handler of orders has committed its transaction" in caplog.text

        assert deliver(orders, "second", event_id=EVENT).handled
        assert deliver(orders, "third", event_id=EVENT).duplicate
        assert state(alias)["effects"] == ["first", "second"]

    def test_by_a_statement(self, alias: str, caplog: pytest.LogCaptureFixture) -> None:
        self.assert_redelivered(alias, commit, caplog)

    def test_and_the_next_commit_is_refused(self, postgres: str) -> None:
        def commit_and_violate(alias: str) -> None:
            commit(alias)
            violate_at_the_commit(alias)

        handler = idempotent(using=postgres)(Handler(postgres, commit_and_violate))
        orders = Subscription(handler, "orders")

        assert isinstance(deliver(orders, "first", event_id=EVENT).exception, IntegrityError)
        assert deliver(orders, "second", event_id=EVENT).handled
        assert deliver(orders, "third", event_id=EVENT).duplicate

    @pytest.mark.parametrize("alias", ["sqlite"], indirect=True)
    def test_by_a_script_on_sqlite(self, alias: str, caplog: pytest.LogCaptureFixture) -> None:
        self.assert_redelivered(alias, run_a_script, caplog)

    def test_by_a_change_of_the_schema_on_mariadb(
        self, mariadb: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.assert_redelivered(mariadb, change_the_schema, caplog)


def test_a_database_without_autocommit(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, an atomic block ends without a commit."""
    orders = Subscription(idempotent(using=alias)(Handler(alias, do_nothing)), "orders")
    connections[alias].close()
    with monkeypatch.context() as patch:
        patch.setitem(connections[alias].settings_dict, "AUTOCOMMIT", False)
        assert deliver(orders, "first", event_id=EVENT).acked
        connections[alias].close()

    assert state(alias)["effects"] == ["first"]
    assert deliver(orders, "second", event_id=EVENT).duplicate
