"""What goes wrong with an outbox."""

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
        """What to tell of an ``error`` of the database ``alias``, on one line."""
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        return cls(f"The outbox cannot be used: {reason}.{_remedy(alias)}")


@contextmanager
def explained_errors(alias: str) -> Iterator[None]:
    """Within the block, let an error of the database ``alias`` be an :class:`OutboxError`."""
    try:
        yield
    except AnyDatabaseError as error:
        raise OutboxError.of(error, alias) from error


def _remedy(alias: str) -> str:
    """What to do, as the database itself shows it."""
    from rele.contrib.outbox.models import OutboxMessage, Relay

    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
    except AnyDatabaseError:
        return f" Is the database {alias!r} there?"
    if {OutboxMessage._meta.db_table, Relay._meta.db_table} <= set(tables):
        return ""
    where = "" if alias == DEFAULT_DB_ALIAS else f", with --database {alias}"
    return f" Its tables are missing: run `manage.py migrate`{where}."
