"""Making a message a transaction's own, or finding that another has handled it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import IntegrityError, OperationalError, connections, transaction
from django.utils import timezone

from rele.contrib.inbox.models import InboxMessage
from rele.exceptions import Retry

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another transaction that handles the same message, on PostgreSQL.

SQLite waits for as long as ``OPTIONS["timeout"]`` says: 5 s by default.
"""

_LOCK_NOT_AVAILABLE = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html

# One statement is one round trip. Each part reads the one before, which is what puts them in order:
# the handler's own statements find the lock_timeout that was set before.
_INSERT_ON_POSTGRESQL = """
WITH before AS MATERIALIZED (
    SELECT current_setting('lock_timeout') AS lock_timeout
), limited AS MATERIALIZED (
    SELECT set_config('lock_timeout', %s, true) FROM before
), inserted AS (
    INSERT INTO {table} (subscription, event_id, handled_at)
    SELECT %s, %s, %s FROM limited
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT count(inserted.id), set_config('lock_timeout', min(before.lock_timeout), true)
FROM before LEFT JOIN inserted ON true
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
    table = connections[alias].ops.quote_name(InboxMessage._meta.db_table)
    with connections[alias].cursor() as cursor:
        cursor.execute(
            _INSERT_ON_POSTGRESQL.format(table=table),
            [f"{LOCK_TIMEOUT * 1000:.0f}ms", subscription, event_id, timezone.now()],
        )
        number, _ = cursor.fetchone()
    return bool(number)


def _is_lock_timeout(error: OperationalError) -> bool:
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return sqlstate == _LOCK_NOT_AVAILABLE or "database is locked" in str(error)
