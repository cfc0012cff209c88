"""Finding out, before its block ends, that a transaction cannot be committed.

No error says so afterwards. Django rolls a block back silently if it is marked for rollback. If a
statement has failed on PostgreSQL, the COMMIT rolls the transaction back, without an error. MySQL
and MariaDB roll a transaction back at once if it loses a deadlock; whatever it writes after that is
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from django.db import Error, connections, transaction

from rele.contrib.inbox.exceptions import TransactionBrokenError

LOST_TO_ANOTHER = ("40001", "40P01")
"""PostgreSQL's codes of a transaction that cannot be serialized, and of a deadlock.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""


@contextmanager
def left_unbroken(alias: str, check: Callable[[], None]) -> Iterator[None]:
    """Raise if the block has left the transaction on the database ``alias`` broken.

    Args:
        alias: of the database, in a transaction.
        check: called after the block; asks the database, and raises what this raises.

    Raises:
        TransactionBrokenError: it can no longer be committed.
        django.db.DatabaseError: the database has found so just now, such as that it cannot be
            serialized.
    """
    former_cause = _cause_of_mark(alias)
    yield
    if transaction.get_rollback(using=alias):
        cause = _cause_of_mark(alias)
        if cause is former_cause:
            cause = None
        raise TransactionBrokenError(alias, _marked(cause)) from cause
    check()


def check_unbroken(alias: str, is_intact: Callable[[], bool]) -> None:
    """Fail where a transaction that a block was a part of has not kept what the block wrote.

    Args:
        alias: of the database.
        is_intact: asks the database for something from within the block.

    Raises:
        TransactionBrokenError: it was rolled back, or can no longer be committed.
    """
    if connections[alias].in_atomic_block and transaction.get_rollback(using=alias):
        raise TransactionBrokenError(alias, _marked(_cause_of_mark(alias)))
    check_intact(alias, is_intact)


def sqlstate_of(error: Error) -> str | None:
    """The code that PostgreSQL has given for the error."""
    cause = error.__cause__
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)


def check_intact(alias: str, is_intact: Callable[[], bool]) -> None:
    """Raise unless the transaction still has a write from before the handler.

    Args:
        alias: of the database.
        is_intact: asks the database for that write.

    Raises:
        TransactionBrokenError: it was rolled back, or can no longer be committed.
        django.db.OperationalError: it cannot be serialized, as the database has found just now.
    """
    try:
        intact = is_intact()
    except Error as error:
        if sqlstate_of(error) in LOST_TO_ANOTHER:  # just now: no handler has caught it
            raise
        raise TransactionBrokenError(alias, str(error).strip()) from error
    if not intact:
        raise TransactionBrokenError(alias, "the database has rolled it back")


@contextmanager
def unbroken_transaction(alias: str) -> Iterator[None]:
    """Run the block in a transaction on the database ``alias``, or in a part of one that is open.

    Raises:
        TransactionBrokenError: the block has returned, but what it wrote cannot be committed.
    """
    with transaction.atomic(using=alias):
        # The function of the module `transaction` has another name from Django 6.1 on.
        savepoint = connections[alias].savepoint()

        def release() -> bool:
            if savepoint is not None:  # a database may have none
                connections[alias].savepoint_commit(savepoint)
            return True

        with left_unbroken(alias, partial(check_intact, alias, release)):
            yield


def _cause_of_mark(alias: str) -> BaseException | None:
    """The latest error for which Django has marked the connection's transaction for rollback."""
    cause: BaseException | None = getattr(connections[alias], "rollback_exc", None)
    return cause


def _marked(cause: BaseException | None) -> str:
    return "it is marked for rollback" + (f" after: {str(cause).strip()}" if cause else "")
