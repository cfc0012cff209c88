from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from django import db

import rele.contrib
from rele import Callback, Subscription
from rele.contrib.django_db_middleware import DjangoDBMiddleware
from rele.middleware import run_middleware_hook
from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import raising


@pytest.fixture(autouse=True)
def middleware() -> DjangoDBMiddleware:
    """The only middleware that is registered."""
    middleware = DjangoDBMiddleware()
    register(middleware)
    return middleware


@pytest.fixture
def patched_db(monkeypatch: pytest.MonkeyPatch) -> Mock:
    patched = Mock()
    monkeypatch.setattr("rele.contrib.django_db_middleware.db", patched)
    return patched


@pytest.mark.parametrize("handler", [lambda data, **attributes: None, raising(ValueError())])
def test_old_connections_are_closed_before_and_after_each_message(
    patched_db: Mock, deliver: Callable[..., Delivery], handler: Any
) -> None:
    seen: list[int] = []

    def handle(data: Any, **attributes: Any) -> None:
        seen.append(patched_db.close_old_connections.call_count)
        handler(data)

    Callback(Subscription(handle, "photos"))(deliver().message)

    assert seen == [1]
    assert patched_db.close_old_connections.call_count == 2
    patched_db.connections.close_all.assert_not_called()


def test_all_connections_are_closed_when_the_worker_has_stopped(patched_db: Mock) -> None:
    run_middleware_hook("post_worker_stop")

    patched_db.connections.close_all.assert_called_once_with()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("max_age", "is_open"), [(0, False), (None, True), (3600, True)])
def test_a_handlers_connection_is_left_open_only_as_the_setting_says(
    deliver: Callable[..., Delivery],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    max_age: int | None,
    is_open: bool,
) -> None:
    connections: list[Any] = []

    def handle(data: Any, **attributes: Any) -> None:
        connection = db.connections["default"]
        connection.settings_dict = {
            **connection.settings_dict,
            "NAME": str(tmp_path / "database.sqlite3"),
            "CONN_MAX_AGE": max_age,
        }
        connection.connect()
        connections.append(connection)

    def work() -> None:
        Callback(Subscription(handle, "photos"))(deliver().message)
        connections.append(connections[0].connection is not None)
        connections[0].close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)

    assert connections[1] is is_open


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_never_broken(
    deliver: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Mock()  # that of SQLite in memory does nothing
    monkeypatch.setattr(db.connections["default"], "close", close)
    callback = Callback(Subscription(lambda data, **attributes: None, "photos"))

    with db.transaction.atomic():
        callback(deliver().message)

    close.assert_not_called()


@pytest.mark.django_db(transaction=True)
def test_the_queries_of_an_earlier_message_are_forgotten(
    deliver: Callable[..., Delivery], settings: Any
) -> None:
    settings.DEBUG = True
    seen: list[list[str]] = []

    def handle(data: Any, **attributes: Any) -> None:
        with db.connection.cursor() as cursor:
            cursor.execute(f"SELECT {data}")
        seen.append([query["sql"] for query in db.connection.queries])

    callback = Callback(Subscription(handle, "photos"))
    callback(deliver(b"1").message)
    callback(deliver(b"2").message)

    assert seen == [["SELECT 1"], ["SELECT 2"]]


@pytest.mark.django_db
def test_queries_that_a_test_counts_are_kept(
    deliver: Callable[..., Delivery], django_assert_num_queries: Any
) -> None:
    def handle(data: Any, **attributes: Any) -> None:
        with db.connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    callback = Callback(Subscription(handle, "photos"))
    with django_assert_num_queries(2):
        callback(deliver().message)
        callback(deliver().message)


def test_is_found_in_contrib_too() -> None:
    assert rele.contrib.DjangoDBMiddleware is DjangoDBMiddleware
    with pytest.raises(AttributeError, match="no attribute 'NoSuchMiddleware'"):
        _ = rele.contrib.NoSuchMiddleware


class Connection:
    """Stands for one of Django's connections of this thread."""

    def __init__(self, alias: str, error: Exception | None = None) -> None:
        self.alias = alias
        self.error = error
        self.in_atomic_block = False
        self.errors_occurred = False
        self.force_debug_cursor = False
        self.queries_log: deque[dict[str, str]] = deque()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        if self.error is not None:
            raise self.error

    close_if_unusable_or_obsolete = close


Pool = dict[str, Connection]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """This thread's connections; closing the second raises."""
    pool = {
        "first": Connection("first"),
        "second": Connection("second", db.InterfaceError("connection already closed")),
        "third": Connection("third"),
    }
    monkeypatch.setattr(
        type(db.connections), "all", lambda self, initialized_only=False: list(pool.values())
    )
    return pool


@pytest.mark.parametrize(
    "hook",
    [
        lambda middleware: middleware.pre_process_message(Mock(), Mock()),
        lambda middleware: middleware.post_process_message(),
        lambda middleware: middleware.post_worker_stop(),
    ],
)
def test_closing_one_that_fails_leaves_no_other_open(
    middleware: DjangoDBMiddleware,
    pool: Pool,
    caplog: pytest.LogCaptureFixture,
    hook: Callable[[DjangoDBMiddleware], None],
) -> None:
    hook(middleware)

    assert [connection.is_open for connection in pool.values()] == [False] * 3
    assert "connection already closed" in caplog.text


def test_a_transaction_on_one_keeps_no_other_open(
    middleware: DjangoDBMiddleware, pool: Pool
) -> None:
    pool["first"].in_atomic_block = True

    middleware.post_process_message()

    assert [connection.is_open for connection in pool.values()] == [True, False, False]
