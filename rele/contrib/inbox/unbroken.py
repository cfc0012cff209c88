"""Finding that a transaction cannot be committed, before its block is left.

Django leaves a block that is marked for rollback without an error. PostgreSQL answers to the COMMIT
of a transaction that a failed statement has aborted by rolling it back, without an error; MySQL and
MariaDB have rolled back one that lost a deadlock when the statement fails, and commit what came
after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error, connections, transaction

from rele.contrib.inbox.exceptions import TransactionBrokenError


@contextmanager
def left_unbroken(alias: str, is_intact: Callable[[], bool]) -> Iterator[None]:
    """Fail where the block has left the transaction on the database ``alias`` broken.

    Args:
        alias: of the database, in a transaction.
        is_intact: asks the database, in the transaction, for something from before the block.

    Raises:
        TransactionBrokenError: it can no longer be committed.
    """
    former_cause = _cause_of_mark(alias)
    yield
    if transaction.get_rollback(using=alias):
        cause = _cause_of_mark(alias)
        if cause is former_cause:
            cause = None
        raise TransactionBrokenError(alias, _marked(cause)) from cause
    try:
        intact = is_intact()
    except Error as error:
        raise TransactionBrokenError(alias, str(error).strip()) from error
    if not intact:
        raise TransactionBrokenError(alias, "the database has rolled it back")


@contextmanager
def unbroken_transaction(alias: str) -> Iterator[None]:
    """Run the block in a transaction on the database ``alias``, as a part of one that is open.

    Raises:
        TransactionBrokenError: the block has returned, but what it wrote cannot be committed.
    """
    with transaction.atomic(using=alias):
        # The module `transaction` has another name for this from Django 6.1 on.
        savepoint = connections[alias].savepoint()

        def release() -> bool:
            if savepoint is not None:  # the database has some
                connections[alias].savepoint_commit(savepoint)
            return True

        with left_unbroken(alias, release):
            yield


def _cause_of_mark(alias: str) -> BaseException | None:
    """The latest error for which Django has marked a transaction of the connection."""
    cause: BaseException | None = getattr(connections[alias], "rollback_exc", None)
    return cause


def _marked(cause: BaseException | None) -> str:
    return "it is marked for rollback" + (f" after: {str(cause).strip()}" if cause else "")
