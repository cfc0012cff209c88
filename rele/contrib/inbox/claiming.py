"""Claiming a message for a transaction, or finding that another has handled it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, OperationalError, connections, transaction

from rele.contrib.inbox.broken_transactions import (
    LOST_TO_ANOTHER,
    check_intact,
    check_unbroken,
    left_unbroken,
    sqlstate_of,
)
from rele.contrib.inbox.callbacks import reporting_callbacks
from rele.contrib.inbox.exceptions import TransactionBrokenError, named_where_missing
from rele.contrib.inbox.models import UNIQUE, InboxMessage, digest_of
from rele.exceptions import Retry

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another transaction that handles the same message, on PostgreSQL.

SQLite waits for as long as ``OPTIONS["timeout"]`` says (5 s by default), MySQL and MariaDB for as
long as their ``innodb_lock_wait_timeout`` says (50 s by default).
"""

# A lock is not available; or another transaction has handled the message since this one began.
_ELSEWHERE_ON_POSTGRESQL = ("55P03", *LOST_TO_ANOTHER)

# https://mariadb.com/kb/en/mariadb-error-codes/: a record has changed since the transaction began,
# a timeout of a lock, a deadlock.
_ELSEWHERE_ON_MYSQL = (1020, 1205, 1213)

# The division by zero of _commit_intact; a transaction in which a statement has failed before.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BROKEN_ON_POSTGRESQL = {
    "22012": "the database has rolled it back",
    "25P02": "a statement of it has failed, which has aborted it",
}

# One statement, to make only one round trip. It waits for locks no longer than LOCK_TIMEOUT, and
# then restores the lock_timeout that was set before, for the handler: if it inserts a row, by
# RETURNING; if not, the transaction is rolled back, which restores it, too.
_INSERT_ON_POSTGRESQL = """
INSERT INTO {table} (subscription, event_id, digest, handled_at)
SELECT %s, %s, %s, now() FROM (
    SELECT
        set_config('rele.lock_timeout', current_setting('lock_timeout'), true),
        set_config('lock_timeout', '{milliseconds:.0f}ms', true)
) AS limited
ON CONFLICT (digest) DO NOTHING
RETURNING id, handled_at, set_config('lock_timeout', current_setting('rele.lock_timeout'), true)
"""


@contextmanager
def claimed(
    alias: str,
    subscription: str,
    event_id: str,
    check_at_end: Callable[[Callable[[], None]], None],
) -> Iterator[bool]:
    """Run the block in a transaction on the database ``alias``; say whether it handles the message.

    It must not if the message was handled before. If another transaction is handling the message
    now, this waits until that ends. If the block raises, the claim is rolled back.

    Args:
        alias: of the database.
        subscription, event_id: what the message is known by.
        check_at_end: called where this is a part of another transaction, with what is to be called
            after that and before the ack. It raises a TransactionBrokenError unless the message
            was kept.

    Raises:
        Retry: the other transaction is still open after the database's lock timeout.
        TransactionBrokenError: the block has returned, but its transaction cannot be committed.
        django.db.DatabaseError: the database failed.
    """
    with ExitStack() as stack:
        claim = stack.enter_context(forgetting(alias))
        try:
            is_part = not commits_by_itself(alias)
            stack.enter_context(transaction.atomic(using=alias))
            with named_where_missing(alias):
                row = _insert(alias, subscription, event_id)
        except OperationalError as error:
            if is_handled_elsewhere(error):
                raise Retry from error
            raise
        if row is None:
            transaction.set_rollback(True, using=alias)
            yield False
            return
        claim.rows = [row]
        is_intact = partial(is_there, alias, row)
        check = partial(check_intact, alias, is_intact)
        if is_part:
            check_at_end(partial(keep, alias, is_intact))
        elif _has_psycopg(alias):
            check = partial(_commit_intact, alias, row)
        with left_unbroken(alias, check), reporting_callbacks(alias, subscription):
            with claim.noting_failure():
                yield True


def commits_by_itself(alias: str) -> bool:
    """Whether the end of an atomic block that begins now is a commit."""
    connection = connections[alias]
    return not connection.in_atomic_block and connection.get_autocommit()


def keep(alias: str, is_intact: Callable[[], bool]) -> None:
    """See to it that the transaction around the handler's is committed, or raise.

    One that is still open, as a TestCase has it, is somebody else's.
    """
    _commit(alias)
    check_unbroken(alias, is_intact)


def _commit(alias: str) -> None:
    """Commit where nobody else does, with AUTOCOMMIT turned off for the database."""
    if not connections[alias].in_atomic_block and not connections[alias].get_autocommit():
        transaction.commit(using=alias)
        connections[alias].run_and_clear_commit_hooks()  # Django waits for autocommit


class Claim:
    """The rows of the messages that a transaction is to handle, and whether it has failed."""

    rows: Collection[InboxMessage] = ()
    has_failed = False
    """Not so where a commit was asked for, and nobody knows whether it has happened."""

    @contextmanager
    def noting_failure(self) -> Iterator[None]:
        """If the block raises, it has failed."""
        try:
            yield
        except BaseException:
            self.has_failed = True
            raise


@contextmanager
def forgetting(alias: str) -> Iterator[Claim]:
    """Run a transaction in the block; if it has failed, delete the rows of its claim after that.

    The rollback has done so, unless the handler has ended the transaction: by a COMMIT of its own,
    or by a statement that implies one, such as TRUNCATE on MySQL or executescript() on SQLite.
    """
    claim = Claim()
    try:
        yield claim
    except (TransactionBrokenError, AnyDatabaseError) as error:
        claim.has_failed = claim.has_failed or _is_refusal(error)
        raise
    finally:
        if claim.has_failed and not connections[alias].in_atomic_block:
            for row in claim.rows:
                _forget(alias, row)


def _is_refusal(error: Exception) -> bool:
    """Whether the database has not committed, if that is what it was asked for."""
    if isinstance(error, AnyDatabaseError):
        return isinstance(error, IntegrityError) or sqlstate_of(error) in LOST_TO_ANOTHER
    return isinstance(error, TransactionBrokenError)


def _forget(alias: str, row: InboxMessage) -> None:
    try:
        if not is_there(alias, row):
            return
        InboxMessage.objects.using(alias).filter(id=row.id).delete()
        _commit(alias)
    except AnyDatabaseError as error:
        logger.debug("Whether %s was rolled back is not known: %s", row, error)
    else:
        logger.error(
            "The handler of %s has committed its transaction on the database %r, and failed then: "
            "what it wrote before stays, and is written again when the message is redelivered.",
            row.subscription,
            alias,
        )


def _insert(alias: str, subscription: str, event_id: str) -> InboxMessage | None:
    """The new row, or ``None`` if there is one already."""
    row = InboxMessage(subscription=subscription, event_id=event_id)
    if connections[alias].vendor == "postgresql":
        return _insert_on_postgresql(alias, row)
    try:
        row.save(force_insert=True, using=alias)
    except IntegrityError as error:
        # Only the statement was rolled back: the transaction can ask which rule it violated.
        transaction.set_rollback(False, using=alias)
        if InboxMessage.objects.using(alias).filter(digest=row.digest).exists():
            return None
        if UNIQUE in str(error):  # it was committed since this transaction began, and is not seen
            raise Retry from error
        raise
    return row


def _insert_on_postgresql(alias: str, row: InboxMessage) -> InboxMessage | None:
    connection = connections[alias]
    digest = digest_of(row.subscription, row.event_id)
    statement = _INSERT_ON_POSTGRESQL.format(
        table=connection.ops.quote_name(InboxMessage._meta.db_table),
        milliseconds=LOCK_TIMEOUT * 1000,
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [row.subscription, row.event_id, digest])
        returned = cursor.fetchone()
    if returned is None:
        return None
    row.id, row.handled_at, _ = returned
    return row


def is_there(alias: str, row: InboxMessage) -> bool:
    """Whether the transaction still has ``row``.

    If not, it was rolled back. Another transaction may have written a row for the same event since,
    on SQLite even with the same id, so the time is compared, too.
    """
    own = InboxMessage.objects.using(alias).filter(id=row.id, handled_at=row.handled_at)
    return own.exists()


def _has_psycopg(alias: str) -> bool:
    """Whether the database is PostgreSQL by psycopg 3, which knows when a transaction has ended.

    psycopg2 does not: it sends Django's COMMIT after that, of which the server logs a warning.
    """
    connection: Any = connections[alias]
    return bool(connection.vendor == "postgresql" and connection.Database.__name__ == "psycopg")


def _commit_intact(alias: str, row: InboxMessage) -> None:
    """Commit the transaction on PostgreSQL, if it still has ``row``.

    One round trip does both. Where the row is missing, the SELECT fails, and PostgreSQL does not
    execute the statement after it. Django's own commit finds that nothing is left to do.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT

    Raises:
        TransactionBrokenError: it was rolled back, or can no longer be committed.
        django.db.DatabaseError: the commit has failed, or its outcome is unknown.
    """
    connection: Any = connections[alias]
    if connection.connection is None or connection.connection.closed:
        return check_intact(alias, partial(is_there, alias, row))
    table = connection.ops.quote_name(InboxMessage._meta.db_table)
    statements = f"SELECT 1 / count(*) FROM {table} WHERE id = {row.id:d}; COMMIT"
    try:
        with connection.cursor() as cursor, connection.wrap_database_errors:
            # By the driver's cursor: wrappers of Django's execute() are not asked at other commits
            # either. Without parameters and not prepared, as only one statement can be.
            cursor.cursor.execute(statements, prepare=False)
    except AnyDatabaseError as error:
        if reason := _BROKEN_ON_POSTGRESQL.get(sqlstate_of(error) or ""):
            raise TransactionBrokenError(alias, reason) from error
        raise


def is_handled_elsewhere(error: OperationalError) -> bool:
    """Whether another transaction is handling the message, or has done so since this one began.

    The first after the timeout alone.
    """
    return (
        sqlstate_of(error) in _ELSEWHERE_ON_POSTGRESQL
        or "database is locked" in str(error)
        or bool(error.args and error.args[0] in _ELSEWHERE_ON_MYSQL)
    )
