"""``RELE["OUTBOX"]``: what each key may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rele.schema.settings import Setting, is_bool, is_integer, is_positive, is_string, is_strings

OUTBOX_SETTINGS: dict[str, Setting] = {
    "USING": Setting(
        None,
        "the alias of a database, a list of them, or None",
        lambda value: value is None or is_string(value) or is_strings(value),
        lambda value: value is None or len(value) > 0,
        "'default'",
    ),
    "BACKEND": Setting(
        "rele.backends.pubsub.PubSubBackend", "the dotted path of a class", is_string
    ),
    "KEEP_SENT": Setting(False, "True or False", is_bool),
    "MAX_ATTEMPTS": Setting(20, "a whole number from 1", is_integer, is_positive),
}
"""Its keys."""


@dataclass(frozen=True)
class OutboxSettings:
    """Where the outbox is, and how its relay works."""

    using: str | Sequence[str] | None = None
    """The alias of the database, or several; ``None`` leaves it to the router."""
    backend: str = OUTBOX_SETTINGS["BACKEND"].default
    """The dotted path of what the relay sends through."""
    keep_sent: bool = False
    """Whether sent messages stay in the table."""
    max_attempts: int = OUTBOX_SETTINGS["MAX_ATTEMPTS"].default
    """How often Pub/Sub may refuse a message before it is parked."""

    @classmethod
    def of(cls, outbox: Mapping[str, Any]) -> OutboxSettings:
        """Those of the dict, and the defaults for the rest."""
        return cls(
            **{key.lower(): outbox[key] for key in OUTBOX_SETTINGS if outbox.get(key) is not None}
        )

    @property
    def alias(self) -> str:
        """The alias of the database that messages are written into where nobody says otherwise."""
        return self.aliases[0]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of all databases that the outbox is in, each once."""
        from django.db import router

        from rele.contrib.outbox.models import OutboxMessage

        if not self.using:
            return (router.db_for_write(OutboxMessage),)
        if isinstance(self.using, str):
            return (self.using,)
        return tuple(dict.fromkeys(self.using))
