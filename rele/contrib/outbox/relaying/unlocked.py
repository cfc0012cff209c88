"""Changes messages, except for those whose rows other transactions have locked.

So a transaction that stays open, of an administrator in a shell for example, delays nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.relaying.own_connection import run_statement

_LOCK_WAIT_TIMEOUT = 1205  # https://mariadb.com/kb/en/mariadb-error-codes/

_TABLE = OutboxMessage._meta.db_table

_HAS_ID = f"{_TABLE}.id = ANY(%s::bigint[])"

Messages = QuerySet[OutboxMessage]
Change = Callable[[Messages], int]
"""Changes or deletes messages by one statement; returns how many."""


def change_unlocked(messages: Messages, ids: Sequence[int], change: Change) -> Collection[int]:
    """Change those of ``messages`` that have one of ``ids`` and are not locked.

    On PostgreSQL and MariaDB it is one statement, with more where not all were changed. SQLite has
    no locks of rows; MariaDB before 10.6 cannot skip them, and waits.

    Args:
        messages: of one database; what was changed must not be among them any more.
        ids: at least one.
        change: what to do with them.

    Returns:
        the ids of the locked ones.

    Raises:
        django.db.Error: the database cannot be used, or refuses the change.
    """
    alias = messages.db
    connection = connections[alias]
    if not connection.features.has_select_for_update_skip_locked:
        run_statement(alias, lambda: change(messages.filter(id__in=ids)))
        return ()
    if run_statement(alias, lambda: _way_of(connection)(messages, ids, change)) == len(ids):
        return ()
    # The others are locked, or there no more.
    left = messages.filter(id__in=ids).values_list("id", flat=True)
    return run_statement(alias, lambda: list(left))


def with_ids(messages: Messages, ids: Sequence[int]) -> Messages:
    """Those that have one of ``ids``; as one parameter where that is possible, which is faster."""
    connection = connections[messages.db]
    if connection.vendor == "postgresql" and not _keeps_results(connection):
        return messages.filter(RawSQL(_HAS_ID, [list(ids)], BooleanField()))
    return messages.filter(id__in=ids)


def _keeps_results(connection: Any) -> bool:
    """Whether the driver keeps what a statement with a list has read until garbage is collected.

    psycopg before 3.3 does so (measured with 3.2.1 to 3.2.13), and payloads may be large.
    """
    return str(connection.Database.__version__).startswith(("3.1.", "3.2."))


def _way_of(connection: Any) -> Callable[[Messages, Sequence[int], Change], int]:
    if connection.vendor == "postgresql":
        return _change_at_once
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return _change_without_waiting if is_mariadb else _lock_and_change


def _change_at_once(messages: Messages, ids: Sequence[int], change: Change) -> int:
    # An array is worked out before the rest, and so by the index: no plan can read the whole table.
    array = f"ARRAY(SELECT id FROM {_TABLE} WHERE {_HAS_ID} FOR UPDATE SKIP LOCKED)"
    condition = f"{_TABLE}.id = ANY({array})"
    return change(messages.filter(RawSQL(condition, [list(ids)], BooleanField())))


def _change_without_waiting(messages: Messages, ids: Sequence[int], change: Change) -> int:
    """On MariaDB, by one statement if it meets no lock."""
    with connections[messages.db].execute_wrapper(_without_waiting):
        try:
            return change(messages.filter(id__in=ids))
        except OperationalError as error:
            if not _has_met_a_lock(error):
                raise
        # It may have met the lock of another row: a small table is read as a whole.
        return sum(_change_one(messages, id_, change) for id_ in _unlocked(messages, ids))


def _unlocked(messages: Messages, ids: Sequence[int]) -> list[int]:
    """Those that are not locked now. The locks of this statement end with it."""
    marks = ", ".join(["%s"] * len(ids))
    with connections[messages.db].cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {_TABLE} WHERE id IN ({marks}) FOR UPDATE SKIP LOCKED", list(ids)
        )
        return [id_ for (id_,) in cursor.fetchall()]


def _change_one(messages: Messages, id_: int, change: Change) -> int:
    try:
        return change(messages.filter(id=id_))
    except OperationalError as error:
        if not _has_met_a_lock(error):
            raise
        return 0


def _without_waiting(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
    return execute(f"SET STATEMENT innodb_lock_wait_timeout = 0 FOR {sql}", *arguments)


def _has_met_a_lock(error: OperationalError) -> bool:
    return error.args[:1] == (_LOCK_WAIT_TIMEOUT,)


def _lock_and_change(messages: Messages, ids: Sequence[int], change: Change) -> int:
    """On MySQL, which has no timeout for one statement."""
    with transaction.atomic(using=messages.db):
        rows = messages.filter(id__in=ids).select_for_update(skip_locked=True)
        unlocked = list(rows.values_list("id", flat=True))
        return change(messages.filter(id__in=unlocked)) if unlocked else 0
