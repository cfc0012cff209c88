"""What the outbox raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as AnyDatabaseError

from rele.exceptions import ReleError


class OutboxError(ReleError):
    """The outbox cannot be used."""

    @classmethod
    def of(cls, error: Exception, alias: str) -> OutboxError:
        """The error for an ``error`` of the database ``alias``, on one line."""
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        return cls(f"The outbox cannot be used: {reason}.{_remedy(alias)}")


@contextmanager
def explained_errors(alias: str) -> Iterator[None]:
    """Within the block, turn an error of the database ``alias`` into an :class:`OutboxError`."""
    try:
        yield
    except AnyDatabaseError as error:
        raise OutboxError.of(error, alias) from error


def _remedy(alias: str) -> str:
    """What the user can do, judging by the tables in the database."""
    from rele.contrib.outbox.models import OutboxMessage, Relay

    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
    except AnyDatabaseError:
        return f" Check that the database {alias!r} is running and can be reached."
    if {OutboxMessage._meta.db_table, Relay._meta.db_table} <= set(tables):
        return ""
    where = "" if alias == DEFAULT_DB_ALIAS else f", with --database {alias}"
    return f" Its tables are missing: run `manage.py migrate`{where}."
