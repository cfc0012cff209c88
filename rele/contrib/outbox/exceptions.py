"""What the outbox raises."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rele.exceptions import ReleError
from rele.management.databases import Tables


class OutboxError(ReleError):
    """The outbox cannot be used."""


def explained_errors(alias: str) -> AbstractContextManager[None]:
    """Within the block, turn an error of the database ``alias`` into an :class:`OutboxError`."""
    return _tables().explained_errors(alias)


def named_where_missing(alias: str) -> AbstractContextManager[None]:
    """Within the block, let an error of the database ``alias`` name the missing migration."""
    return _tables().named_where_missing(alias)


def _tables() -> Tables:
    from rele.contrib.outbox.models import OutboxMessage, Relay

    names = frozenset({OutboxMessage._meta.db_table, Relay._meta.db_table})
    return Tables("outbox", names, OutboxError)
