"""Claiming the messages of a batch for one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

from django.db import OperationalError, connections, transaction
from django.utils import timezone

from rele.contrib.inbox.broken_transactions import check_intact, left_unbroken
from rele.contrib.inbox.callbacks import reporting_callbacks
from rele.contrib.inbox.claiming import (
    LOCK_TIMEOUT,
    commits_by_itself,
    forgetting,
    is_handled_elsewhere,
    is_there,
    keep,
)
from rele.contrib.inbox.exceptions import named_where_missing
from rele.contrib.inbox.models import InboxMessage, digest_of
from rele.exceptions import Retry

_LIMIT_ON_POSTGRESQL = """
SELECT set_config('rele.lock_timeout', current_setting('lock_timeout'), true),
    set_config('lock_timeout', '{milliseconds:.0f}ms', true)
"""
_RESTORE_ON_POSTGRESQL = """
SELECT set_config('lock_timeout', current_setting('rele.lock_timeout'), true)
"""

_INSERT_ON_POSTGRESQL = """
INSERT INTO {table} (subscription, event_id, digest, handled_at)
SELECT %s, event_id, digest, %s
FROM unnest(%s::text[], %s::text[]) AS new (event_id, digest)
ON CONFLICT (digest) DO NOTHING
RETURNING id, digest
"""

# By JSON, since a statement of SQLite may have as few as 999 parameters. WHERE, without which the
# parser takes ON for a part of the SELECT.
_INSERT_ON_SQLITE = """
INSERT INTO {table} (subscription, event_id, digest, handled_at)
SELECT %s, json_extract(value, '$[0]'), json_extract(value, '$[1]'), %s
FROM json_each(%s) WHERE true
ON CONFLICT (digest) DO NOTHING
RETURNING id, digest
"""


class ClaimedEvents:
    """The events of a batch that are new, each with its row in the inbox.

    Args:
        alias: of the database.
        rows: those that were inserted, by their event ids.
    """

    def __init__(self, alias: str, rows: dict[str, InboxMessage]) -> None:
        self._alias = alias
        self.rows = rows

    def __contains__(self, event_id: str) -> bool:
        return event_id in self.rows

    def left_unbroken(self) -> AbstractContextManager[None]:
        """Raise a TransactionBrokenError if the block has left the transaction broken."""
        return left_unbroken(self._alias, partial(check_intact, self._alias, self.is_intact))

    def is_intact(self) -> bool:
        """Whether the database still has the rows: all or none of them, in one transaction."""
        return not self.rows or is_there(self._alias, next(iter(self.rows.values())))

    def release(self, event_ids: Iterable[str]) -> None:
        """Delete the rows of these events, which are to be handled again."""
        ids = [self.rows.pop(event_id).id for event_id in event_ids]
        if ids:
            InboxMessage.objects.using(self._alias).filter(id__in=ids).delete()


@contextmanager
def claimed_together(
    alias: str,
    subscription: str,
    event_ids: Sequence[str],
    check_at_end: Callable[[Callable[[], None]], None],
) -> Iterator[ClaimedEvents]:
    """Run the block in a transaction on the database ``alias`` that handles new events.

    What :func:`rele.contrib.inbox.claiming.claimed` does for one message, for several. If none of
    them is new, the transaction is rolled back.

    Raises:
        Retry: another transaction that handles one of them is still open after the lock timeout.
        django.db.DatabaseError: the database failed.
    """
    with ExitStack() as stack:
        claim = stack.enter_context(forgetting(alias))
        try:
            is_part = not commits_by_itself(alias)
            stack.enter_context(transaction.atomic(using=alias))
            with named_where_missing(alias):
                claimed = ClaimedEvents(alias, _insert(alias, subscription, event_ids))
        except OperationalError as error:
            if is_handled_elsewhere(error):
                raise Retry from error
            raise
        if not claimed.rows:
            transaction.set_rollback(True, using=alias)
        elif is_part:
            check_at_end(lambda: keep(alias, claimed.is_intact))
        claim.rows = claimed.rows.values()
        with reporting_callbacks(alias, subscription), claim.noting_failure():
            yield claimed


def _insert(alias: str, subscription: str, event_ids: Sequence[str]) -> dict[str, InboxMessage]:
    """Insert a row for each event that has none, by one statement; return the new rows.

    In the order of their digests: two transactions that insert the same ones in different orders
    would wait for each other.
    """
    connection = connections[alias]
    by_digest = {digest_of(subscription, each): each for each in event_ids}
    digests = sorted(by_digest)
    handled_at = timezone.now()
    rows = {
        digest: InboxMessage(
            subscription=subscription,
            event_id=by_digest[digest],
            digest=digest,
            handled_at=handled_at,
        )
        for digest in digests
    }
    if connection.vendor == "postgresql":
        inserted = _insert_on_postgresql(connection, subscription, rows)
    elif connection.vendor == "sqlite" and connection.features.can_return_rows_from_bulk_insert:
        inserted = _insert_on_sqlite(connection, subscription, rows)
    else:
        inserted = _insert_elsewhere(alias, rows)
    for id_, digest in inserted:
        rows[digest].id = id_
    return {row.event_id: row for row in rows.values() if row.id is not None}


def _insert_on_postgresql(
    connection: Any, subscription: str, rows: dict[str, InboxMessage]
) -> list[tuple[int, str]]:
    limit = _LIMIT_ON_POSTGRESQL.format(milliseconds=LOCK_TIMEOUT * 1000)
    event_ids = [row.event_id for row in rows.values()]
    with connection.cursor() as cursor:
        cursor.execute(limit)
        cursor.execute(
            _INSERT_ON_POSTGRESQL.format(table=_table(connection)),
            [subscription, _handled_at(connection, rows), event_ids, list(rows)],
        )
        inserted: list[tuple[int, str]] = cursor.fetchall()
        cursor.execute(_RESTORE_ON_POSTGRESQL)
    return inserted


def _insert_on_sqlite(
    connection: Any, subscription: str, rows: dict[str, InboxMessage]
) -> list[tuple[int, str]]:
    values = json.dumps([[row.event_id, digest] for digest, row in rows.items()])
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_ON_SQLITE.format(table=_table(connection)),
            [subscription, _handled_at(connection, rows), values],
        )
        inserted: list[tuple[int, str]] = cursor.fetchall()
    return inserted


def _insert_elsewhere(alias: str, rows: dict[str, InboxMessage]) -> list[tuple[int, str]]:
    """On a database that does not say which rows it has inserted: those with our time are new.

    A row of another transaction is never taken for a new one, since it would have the same event
    and the same microsecond.
    """
    objects = InboxMessage.objects.using(alias)
    objects.bulk_create(list(rows.values()), ignore_conflicts=True)
    for row in rows.values():
        row.id = None  # which some databases have given to all
    handled_at = next(iter(rows.values())).handled_at
    own = objects.filter(digest__in=list(rows), handled_at=handled_at)
    return list(own.values_list("id", "digest"))


def _handled_at(connection: Any, rows: dict[str, InboxMessage]) -> Any:
    field = InboxMessage._meta.get_field("handled_at")
    return field.get_db_prep_save(next(iter(rows.values())).handled_at, connection)


def _table(connection: Any) -> str:
    name: str = connection.ops.quote_name(InboxMessage._meta.db_table)
    return name
