"""What the inbox raises."""

from __future__ import annotations

from rele.exceptions import ReleError


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
