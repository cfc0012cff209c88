"""Idempotent handlers at each isolation level of PostgreSQL and MariaDB, several at a time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

import rele
from rele import Batch, BatchMessage
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.models import InboxMessage
from rele.exceptions import Retry
from rele.subscription import Subscription
from rele.testing import Delivery, deliver
from testproject.activity.models import Activity
from tests.integration.contrib.inbox.test_idempotent import WAITING_FOR_A_LOCK, wait_for_a_lock
from tests.support.polling import wait_until

numbers = itertools.count(1)

READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE = "read committed", "repeatable read", "serializable"

LEVELS = [READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE]

STRICT = pytest.mark.parametrize("level", [REPEATABLE_READ, SERIALIZABLE], indirect=True)

EVERY_DATABASE = [(alias, level) for alias in ("postgres", "mariadb") for level in LEVELS]

Act = Callable[[str], None]


@pytest.fixture(autouse=True)
def _middleware() -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]})


@pytest.fixture(params=["postgres", "mariadb"])
def alias(request: pytest.FixtureRequest) -> str:
    """The alias of a database with empty tables."""
    name: str = request.getfixturevalue(request.param)
    return name


@pytest.fixture(params=LEVELS)
def level(
    request: pytest.FixtureRequest, alias: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The isolation level of all transactions, as the settings have it."""
    given: Any = request.param
    if connections[alias].vendor == "postgresql":
        from psycopg import IsolationLevel

        given = IsolationLevel[request.param.replace(" ", "_").upper()]
    connections[alias].close()
    options = {**connections[alias].settings_dict["OPTIONS"], "isolation_level": given}
    monkeypatch.setitem(connections.settings[alias], "OPTIONS", options)
    del connections[alias]
    yield request.param
    connections[alias].close()
    del connections[alias]  # the next one is made with the options of before


def level_in_use(alias: str) -> str:
    with connections[alias].cursor() as cursor:
        if connections[alias].vendor == "postgresql":
            cursor.execute("SHOW transaction_isolation")
        else:
            cursor.execute("SELECT @@tx_isolation")
        shown: str = cursor.fetchone()[0]
    return shown.replace("-", " ").lower()


def texts(alias: str) -> list[str]:
    return sorted(Activity.objects.using(alias).values_list("text", flat=True))


def handled(alias: str) -> list[str]:
    return sorted(InboxMessage.objects.using(alias).values_list("event_id", flat=True))


def write(alias: str, text: str) -> None:
    Activity.objects.using(alias).create(photo=next(numbers), text=text)


class Handler:
    """Writes, and does on its first call what the test says."""

    def __init__(self, alias: str, act: Act) -> None:
        self._alias = alias
        self._act = act
        self._calls = itertools.count()

    def __call__(self, data: str) -> None:
        write(self._alias, data)
        if next(self._calls) == 0:
            self._act(self._alias)


def sync(alias: str, act: Act) -> Callable[[str], Delivery]:
    handle = Handler(alias, act)

    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        handle(data)

    orders = Subscription(handler, "orders")
    return lambda data: deliver(orders, data, event_id="e")


def batch(alias: str, act: Act) -> Callable[[str], Delivery]:
    handle = Handler(alias, act)

    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        handle(messages[0].data)

    orders = Subscription(handler, "orders", batch=Batch())
    return lambda data: deliver(orders, [data], event_id=["e"])


def asynchronous(alias: str, act: Act) -> Callable[[str], Delivery]:
    from asgiref.sync import sync_to_async

    handle = Handler(alias, act)

    @idempotent(using=alias)
    async def handler(data: str, **attributes: Any) -> None:
        await sync_to_async(handle)(data)

    orders = Subscription(handler, "orders")
    return lambda data: deliver(orders, data, event_id="e")


KINDS = pytest.mark.parametrize("kind", [sync, batch, asynchronous])

Kind = Callable[[str, Act], Callable[[str], Delivery]]


class Pause:
    """Lets a handler wait, having written, until the test goes on."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.has_written = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, alias: str) -> None:
        self.has_written.set()
        assert self.may_end.wait(20)
        if self._error is not None:
            raise self._error


def race(alias: str, send: Callable[[str], Delivery], pause: Pause) -> list[Delivery]:
    """Two workers that have the same event: the second waits for the first, which then ends."""

    def deliver_in_thread(data: str) -> Delivery:
        try:
            return send(data)
        finally:
            connections[alias].close()

    assert connections[alias].vendor in WAITING_FOR_A_LOCK
    with ThreadPoolExecutor(2) as executor:
        first: Future[Delivery] = executor.submit(deliver_in_thread, "first")
        try:
            assert pause.has_written.wait(20)
            second = executor.submit(deliver_in_thread, "second")
            wait_for_a_lock(alias)
        finally:
            pause.may_end.set()
        return [first.result(20), second.result(20)]


def test_the_level_of_the_settings_is_in_use(alias: str, level: str) -> None:
    with transaction.atomic(using=alias):
        assert level_in_use(alias) == level


@KINDS
def test_two_workers_have_the_same_event_and_the_first_commits(
    alias: str, level: str, kind: Kind
) -> None:
    pause = Pause()
    send = kind(alias, pause)

    first, second = race(alias, send, pause)

    assert first.handled
    if connections[alias].vendor == "postgresql" and level != READ_COMMITTED:
        assert second.nacked  # its transaction began before the first one's end
        assert isinstance(second.exception, Retry)
        second = send("redelivered")
    assert second.duplicate
    assert second.acked
    assert texts(alias) == ["first"]
    assert handled(alias) == ["e"]


@KINDS
def test_two_workers_have_the_same_event_and_the_first_rolls_back(
    alias: str, level: str, kind: Kind
) -> None:
    pause = Pause(ZeroDivisionError())

    first, second = race(alias, kind(alias, pause), pause)

    assert first.nacked
    assert second.handled
    assert texts(alias) == ["second"]
    assert handled(alias) == ["e"]


@pytest.fixture
def row(alias: str) -> int:
    """A row that handlers change, by its key."""
    return Activity.objects.using(alias).create(photo=0, text="row").pk


def change(alias: str, row: int, text: str) -> None:
    Activity.objects.using(alias).filter(pk=row).update(text=text)


def in_another_transaction(alias: str, call: Callable[[], None]) -> None:
    def run() -> None:
        try:
            with transaction.atomic(using=alias):
                call()
        finally:
            connections[alias].close()

    with ThreadPoolExecutor(1) as executor:
        executor.submit(run).result(20)


@STRICT
@KINDS
@pytest.mark.parametrize("alias", ["postgres"], indirect=True)
def test_a_statement_that_cannot_be_serialized_has_the_message_redelivered(
    alias: str, level: str, kind: Kind, row: int
) -> None:
    def lose(alias: str) -> None:
        in_another_transaction(alias, lambda: change(alias, row, "other"))
        change(alias, row, "own")

    assert_redelivered_and_handled_once(alias, kind(alias, lose), "could not serialize access")
    assert texts(alias) == ["again", "other"]


@KINDS
@pytest.mark.parametrize("level", [SERIALIZABLE], indirect=True)
@pytest.mark.parametrize("alias", ["postgres"], indirect=True)
def test_a_commit_that_cannot_be_serialized_has_the_message_redelivered(
    alias: str, level: str, kind: Kind, row: int
) -> None:
    def read_and_write() -> None:
        assert Activity.objects.using(alias).count() == 1
        write(alias, "other")

    def lose(alias: str) -> None:
        """Write what the other reads, and read what it writes: one of the two has to fail."""
        assert Activity.objects.using(alias).count() == 2
        in_another_transaction(alias, read_and_write)

    assert_redelivered_and_handled_once(alias, kind(alias, lose), "could not serialize access")
    assert texts(alias) == ["again", "other", "row"]


@KINDS
@pytest.mark.parametrize("alias", ["mariadb"], indirect=True)
def test_a_deadlock_on_mariadb_has_the_message_redelivered(
    alias: str, level: str, kind: Kind, row: int
) -> None:
    """What MariaDB has instead: at SERIALIZABLE each read takes a lock."""
    second = Activity.objects.using(alias).create(photo=1, text="row").pk
    executor = ThreadPoolExecutor(1)
    waiting: list[Future[None]] = []

    def hold_much_and_wait(has_locked: threading.Event) -> None:
        try:
            with transaction.atomic(using=alias):
                change(alias, second, "other")
                # The transaction that has changed less is rolled back.
                Activity.objects.using(alias).bulk_create(
                    Activity(photo=number, text="other") for number in range(1000, 1200)
                )
                has_locked.set()
                change(alias, row, "other")
        finally:
            connections[alias].close()

    def lose(alias: str) -> None:
        change(alias, row, "own")
        has_locked = threading.Event()
        waiting.append(executor.submit(hold_much_and_wait, has_locked))
        assert has_locked.wait(20)
        wait_for_a_lock_elsewhere(alias)
        change(alias, second, "own")

    with executor:
        assert_redelivered_and_handled_once(alias, kind(alias, lose), "Deadlock found")
        waiting[0].result(20)

    assert texts(alias).count("other") == 202
    assert texts(alias).count("again") == 1


def wait_for_a_lock_elsewhere(alias: str) -> None:
    """As :func:`wait_for_a_lock`, on a connection that is in no transaction."""

    def run() -> None:
        try:
            wait_for_a_lock(alias)
        finally:
            connections[alias].close()

    with ThreadPoolExecutor(1) as executor:
        executor.submit(run).result(20)


def assert_redelivered_and_handled_once(
    alias: str, send: Callable[[str], Delivery], error: str
) -> None:
    failed = send("first")

    assert failed.nacked
    assert isinstance(failed.exception, OperationalError)
    assert error in str(failed.exception)
    assert handled(alias) == []
    assert "first" not in texts(alias)

    assert send("again").handled
    assert send("third").duplicate
    assert handled(alias) == ["e"]


@STRICT
def test_within_a_transaction_that_began_before_the_other_ended(alias: str, level: str) -> None:
    """As a decorator has it: the message is redelivered, and then found."""
    calls = itertools.count()

    @idempotent(using=alias)
    def handler(data: str, **attributes: Any) -> None:
        write(alias, data)

    @wraps(handler)
    def decorated(data: str, **attributes: Any) -> None:
        if next(calls):
            handler(data, **attributes)
            return
        with transaction.atomic(using=alias):
            # From now on, it sees what was committed until now.
            assert Activity.objects.using(alias).filter(pk=-1).count() == 0
            in_another_transaction(alias, lambda: record(alias))
            handler(data, **attributes)

    orders = Subscription(decorated, "orders")
    first = deliver(orders, "first", event_id="e")

    assert first.nacked or first.duplicate
    assert first.exception is None or isinstance(first.exception, Retry)
    assert deliver(orders, "again", event_id="e").duplicate
    assert texts(alias) == []


def record(alias: str) -> None:
    InboxMessage.objects.using(alias).create(subscription="orders", event_id="e")


def test_a_batch_is_one_transaction(alias: str, level: str) -> None:
    """Nobody else sees a part of it, neither rows of the inbox nor those of the handler."""
    seen: list[tuple[list[str], list[str]]] = []
    ids: set[Any] = set()

    def look() -> None:
        seen.append((texts(alias), handled(alias)))

    @idempotent(using=alias)
    def handler(messages: list[BatchMessage]) -> None:
        for message in messages:
            write(alias, message.data)
            ids.add(transaction_id(alias))
            if connections[alias].vendor == "postgresql" or level != SERIALIZABLE:
                in_another_transaction(alias, look)  # else its reads wait for the handler

    orders = Subscription(handler, "orders", batch=Batch())
    done = deliver(orders, ["one", "two", "three"], event_id=["a", "b", "c"])

    assert done.handled
    assert len(ids) == 1
    assert all(each == ([], []) for each in seen)
    assert texts(alias) == ["one", "three", "two"]
    assert handled(alias) == ["a", "b", "c"]


def transaction_id(alias: str) -> Any:
    ask = {
        "postgresql": "SELECT pg_current_xact_id()::text",
        "mysql": "SELECT trx_id FROM information_schema.innodb_trx "
        "WHERE trx_mysql_thread_id = CONNECTION_ID()",
    }
    answers: list[Any] = []

    def is_known() -> bool:
        with connections[alias].cursor() as cursor:
            cursor.execute(ask[connections[alias].vendor])
            answers[:] = cursor.fetchone() or ()
        return bool(answers)

    # MariaDB answers from a copy of the table, which it renews when nobody has asked for 0.1 s.
    wait_until(is_known, 20, every=0.2)
    return answers[0]
