"""Changes rows of the outbox's tables, except for those that other transactions have locked.

So a transaction that stays open, of an administrator in a shell for example, delays nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from django.db import OperationalError, connections, transaction
from django.db.models import BooleanField, Model, QuerySet
from django.db.models.expressions import RawSQL

from rele.contrib.outbox.relaying.own_connection import run_statement

_LOCK_WAIT_TIMEOUT = 1205  # https://mariadb.com/kb/en/mariadb-error-codes/

Row = TypeVar("Row", bound=Model)

Change = Callable[[QuerySet[Any]], int]
"""Changes or deletes rows by one statement; returns how many."""


def change_unlocked(rows: QuerySet[Row], keys: Sequence[Any], change: Change) -> Collection[Any]:
    """As :func:`count_changed`, but return the primary keys of the locked rows.

    Args:
        rows: what was changed must not be among them any more.
        keys: of at least one.
        change: what to do with them.
    """
    changed = count_changed(rows, keys, change)
    connection = connections[rows.db]
    if changed == len(keys) or not connection.features.has_select_for_update_skip_locked:
        return ()
    # The others are locked, or there no more.
    left = rows.filter(pk__in=keys).values_list("pk", flat=True)
    return run_statement(rows.db, lambda: list(left))


def count_changed(rows: QuerySet[Row], keys: Sequence[Any], change: Change) -> int:
    """Change those of ``rows`` that have one of the primary ``keys`` and are not locked.

    On PostgreSQL and MariaDB it is one statement, with more where not all were changed. SQLite has
    no locks of rows; MariaDB before 10.6 cannot skip them, and waits.

    Args:
        rows: of one database.
        keys: at least one.
        change: what to do with them.

    Returns:
        how many were changed.

    Raises:
        django.db.Error: the database cannot be used, or refuses the change.
    """
    connection = connections[rows.db]
    if not connection.features.has_select_for_update_skip_locked:
        return run_statement(rows.db, lambda: change(rows.filter(pk__in=keys)))
    return run_statement(rows.db, lambda: _way_of(connection)(rows, keys, change))


def with_keys(rows: QuerySet[Row], keys: Sequence[Any]) -> QuerySet[Row]:
    """Those that have one of the primary ``keys``; as one parameter where possible, for speed."""
    connection = connections[rows.db]
    if connection.vendor == "postgresql" and not _keeps_results(connection):
        return rows.filter(RawSQL(_has_key(rows), [list(keys)], BooleanField()))
    return rows.filter(pk__in=keys)


def _keeps_results(connection: Any) -> bool:
    """Whether the driver keeps what a statement with a list has read until garbage is collected.

    psycopg before 3.3 does so (measured with 3.2.1 to 3.2.13), and payloads may be large.
    """
    return str(connection.Database.__version__).startswith(("3.1.", "3.2."))


def _key_of(rows: QuerySet[Any]) -> tuple[str, str, str]:
    """The table of ``rows``, its primary key, and that one's type on PostgreSQL."""
    key = rows.model._meta.pk
    return rows.model._meta.db_table, key.column, key.rel_db_type(connections[rows.db])


def _has_key(rows: QuerySet[Any]) -> str:
    table, column, type_ = _key_of(rows)
    return f"{table}.{column} = ANY(%s::{type_}[])"


def _way_of(connection: Any) -> Callable[[QuerySet[Any], Sequence[Any], Change], int]:
    if connection.vendor == "postgresql":
        return _change_at_once
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return _change_without_waiting if is_mariadb else _lock_and_change


def _change_at_once(rows: QuerySet[Any], keys: Sequence[Any], change: Change) -> int:
    # An array is worked out before the rest, and so by the index: no plan can read the whole table.
    table, column, _ = _key_of(rows)
    unlocked = f"SELECT {column} FROM {table} WHERE {_has_key(rows)} FOR UPDATE SKIP LOCKED"
    condition = f"{table}.{column} = ANY(ARRAY({unlocked}))"
    return change(rows.filter(RawSQL(condition, [list(keys)], BooleanField())))


def _change_without_waiting(rows: QuerySet[Any], keys: Sequence[Any], change: Change) -> int:
    """On MariaDB, by one statement if it meets no lock."""
    with connections[rows.db].execute_wrapper(_without_waiting):
        try:
            return change(rows.filter(pk__in=keys))
        except OperationalError as error:
            if not _has_met_a_lock(error):
                raise
        # It may have met the lock of another row: a small table is read as a whole.
        return sum(_change_one(rows, key, change) for key in _unlocked(rows, keys))


def _unlocked(rows: QuerySet[Any], keys: Sequence[Any]) -> list[Any]:
    """Those that are not locked now. The locks of this statement end with it."""
    marks = ", ".join(["%s"] * len(keys))
    table, column, _ = _key_of(rows)
    with connections[rows.db].cursor() as cursor:
        cursor.execute(
            f"SELECT {column} FROM {table} WHERE {column} IN ({marks}) FOR UPDATE SKIP LOCKED",
            list(keys),
        )
        return [key for (key,) in cursor.fetchall()]


def _change_one(rows: QuerySet[Any], key: Any, change: Change) -> int:
    try:
        return change(rows.filter(pk=key))
    except OperationalError as error:
        if not _has_met_a_lock(error):
            raise
        return 0


def _without_waiting(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
    return execute(f"SET STATEMENT innodb_lock_wait_timeout = 0 FOR {sql}", *arguments)


def _has_met_a_lock(error: OperationalError) -> bool:
    return error.args[:1] == (_LOCK_WAIT_TIMEOUT,)


def _lock_and_change(rows: QuerySet[Any], keys: Sequence[Any], change: Change) -> int:
    """On MySQL, which has no timeout for one statement."""
    with transaction.atomic(using=rows.db):
        some = rows.filter(pk__in=keys).select_for_update(skip_locked=True)
        unlocked = list(some.values_list("pk", flat=True))
        return change(rows.filter(pk__in=unlocked)) if unlocked else 0
