"""What goes wrong with an outbox."""

from __future__ import annotations

from rele.exceptions import ReleError


class OutboxError(ReleError):
    """The outbox cannot be used."""

    @classmethod
    def of(cls, error: Exception) -> OutboxError:
        """What to tell of a database's ``error``."""
        return cls(
            f"The outbox cannot be used: {str(error).strip()}. Is its database there, and is it "
            "migrated (`manage.py migrate`, with --database where RELE['OUTBOX']['USING'] names "
            "one)?"
        )
