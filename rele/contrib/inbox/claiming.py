"""Making a message a transaction's own, or finding that another has handled it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import IntegrityError, OperationalError, connections, transaction

from rele.contrib.inbox.models import InboxMessage
from rele.exceptions import Retry

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another transaction that handles the same message, on PostgreSQL.

SQLite waits for as long as ``OPTIONS["timeout"]`` says: 5 s by default.
"""

_LOCK_NOT_AVAILABLE = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

# One statement is one round trip. It waits with a lock_timeout of its own; with the row that it
# inserts it sets back the one before, which is the handler's. Without a row the rollback does so.
_INSERT_ON_POSTGRESQL = """
INSERT INTO {table} (subscription, event_id, handled_at)
SELECT %s, %s, now() FROM (
    SELECT
        set_config('rele.lock_timeout', current_setting('lock_timeout'), true),
        set_config('lock_timeout', '{milliseconds:.0f}ms', true)
) AS limited
ON CONFLICT DO NOTHING
RETURNING set_config('lock_timeout', current_setting('rele.lock_timeout'), true)
"""


@contextmanager
def claimed(alias: str, subscription: str, event_id: str) -> Iterator[bool]:
    """Within a transaction on the database ``alias``, whether the message is the block's to handle.

    It is not where it was handled before. Where another transaction handles it at this moment, this
    one waits for the other's end. When the block raises, the message is as if never claimed.

    Raises:
        Retry: the other transaction is still open after the database's lock timeout.
        django.db.DatabaseError: the database failed.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic(using=alias))
            is_first = _insert(alias, subscription, event_id)
        except OperationalError as error:
            if _is_lock_timeout(error):
                raise Retry from error
            raise
        if not is_first:
            transaction.set_rollback(True, using=alias)
        yield is_first


def _insert(alias: str, subscription: str, event_id: str) -> bool:
    """Whether the row is new."""
    if connections[alias].vendor == "postgresql":
        return _insert_on_postgresql(alias, subscription, event_id)
    try:
        InboxMessage.objects.using(alias).create(subscription=subscription, event_id=event_id)
    except IntegrityError:
        return False
    return True


def _insert_on_postgresql(alias: str, subscription: str, event_id: str) -> bool:
    connection = connections[alias]
    statement = _INSERT_ON_POSTGRESQL.format(
        table=connection.ops.quote_name(InboxMessage._meta.db_table),
        milliseconds=LOCK_TIMEOUT * 1000,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [subscription, event_id])
        inserted: int = cursor.rowcount
    return inserted == 1


def _is_lock_timeout(error: OperationalError) -> bool:
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return sqlstate == _LOCK_NOT_AVAILABLE or "database is locked" in str(error)
