"""What the inbox raises."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rele.exceptions import Reject, ReleError
from rele.management.databases import Tables

_SHOWN = 60
"""How many characters of an event id an error shows."""


class InboxError(ReleError):
    """The inbox cannot be used."""


class UnusableEventIdError(InboxError, Reject):
    """The inbox cannot record the event, so its message cannot be handled once.

    Args:
        event_id: the attribute of the message.
        reason: what is wrong with it.
    """

    def __init__(self, event_id: str, reason: str) -> None:
        super().__init__(
            f"Its attribute event_id {reason}, so that the inbox cannot record it: "
            f"{event_id[:_SHOWN]!r}{'…' if len(event_id) > _SHOWN else ''}. Publish it again with "
            "another one."
        )


def explained_errors(alias: str) -> AbstractContextManager[None]:
    """Within the block, turn an error of the database ``alias`` into an :class:`InboxError`."""
    return _tables().explained_errors(alias)


def named_where_missing(alias: str) -> AbstractContextManager[None]:
    """Within the block, let an error of the database ``alias`` name the missing migration."""
    return _tables().named_where_missing(alias)


def _tables() -> Tables:
    from rele.contrib.inbox.models import InboxMessage

    return Tables("inbox", frozenset({InboxMessage._meta.db_table}), InboxError)


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
