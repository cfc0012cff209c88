"""What the inbox raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as AnyDatabaseError

from rele.exceptions import ReleError


class InboxError(ReleError):
    """The inbox cannot be used."""


@contextmanager
def explained_errors(alias: str) -> Iterator[None]:
    """Within the block, turn an error of the database ``alias`` into an :class:`InboxError`."""
    try:
        yield
    except AnyDatabaseError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InboxError(f"The inbox cannot be used: {reason}.{_remedy(alias)}") from error


def _remedy(alias: str) -> str:
    """What the user can do, judging by the tables in the database."""
    from rele.contrib.inbox.models import InboxMessage

    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
    except AnyDatabaseError:
        return f" Check that the database {alias!r} is running and can be reached."
    if InboxMessage._meta.db_table in tables:
        return ""
    where = "" if alias == DEFAULT_DB_ALIAS else f", with --database {alias}"
    return f" Its table is missing: run `manage.py migrate`{where}."


class TransactionBrokenError(ReleError):
    """The transaction of an idempotent handler can no longer be committed.

    Args:
        alias: of its database.
        reason: why not.
    """

    def __init__(self, alias: str, reason: str) -> None:
        super().__init__(
            f"The handler's transaction on the database {alias!r} can no longer be committed "
            f"({reason}): everything that the handler wrote there is rolled back. A handler that "
            "catches a database error needs a savepoint around the statement that may fail: "
            "`try: with transaction.atomic(): ...`, with `except` outside of that block."
        )
