"""``RELE["OUTBOX"]``: what each key may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rele.config import Config
from rele.schema.kinds import BOOL, CLASS_PATH, COUNT, Kind, is_number, is_string, is_strings
from rele.schema.settings import Setting

MIN_LEASE, MAX_LEASE = 3, 600
"""Seconds. A shorter one would end while a database is slow for a moment."""

OUTBOX_SETTINGS: dict[str, Setting] = {
    "USING": Setting(
        Kind(
            "the alias of a database, a list of them",
            lambda value: is_string(value) or is_strings(value),
            lambda value: len(value) > 0,
            example="'default'",
        ).or_none(),
        "alias of the database that has the table, or a list of aliases, of which the first is "
        "the default",
        default_text="the router's",
    ),
    "BACKEND": Setting(
        CLASS_PATH,
        "dotted path of the backend that the relay sends through",
        "rele.backends.pubsub.PubSubBackend",
    ),
    "KEEP_SENT": Setting(BOOL, "whether sent messages stay in the table", False),
    "MAX_ATTEMPTS": Setting(
        COUNT, "how often Pub/Sub may refuse a message before it is parked", 20
    ),
    "LEASE": Setting(
        Kind(
            f"a number of seconds from {MIN_LEASE} to {MAX_LEASE}",
            is_number,
            lambda value: MIN_LEASE <= value <= MAX_LEASE,
            example="30",
            in_seconds=True,
        ),
        "seconds after which others take over from a relay that has stopped responding",
        30,
    ),
}
"""Its keys."""


@dataclass(frozen=True)
class OutboxSettings:
    """Where the outbox is, and how a relay sends its messages."""

    using: str | Sequence[str] | None = None
    """The alias of the database, or several; with ``None`` the database routers choose one."""
    backend: str = OUTBOX_SETTINGS["BACKEND"].default
    """The dotted path of what the relay sends through."""
    keep_sent: bool = False
    """Whether sent messages stay in the table."""
    max_attempts: int = OUTBOX_SETTINGS["MAX_ATTEMPTS"].default
    """How often Pub/Sub may refuse a message before it is parked."""
    lease: float = OUTBOX_SETTINGS["LEASE"].default
    """Seconds after which others take over from a relay that has stopped responding."""

    @classmethod
    def of(cls, outbox: Mapping[str, Any]) -> OutboxSettings:
        """The settings in the dict, with defaults for those that are not in it."""
        return cls(
            **{key.lower(): outbox[key] for key in OUTBOX_SETTINGS if outbox.get(key) is not None}
        )

    @classmethod
    def in_config(cls, config: Config) -> OutboxSettings:
        """The settings in ``config``."""
        return cls.of(config.setting("OUTBOX", {}))

    @property
    def alias(self) -> str:
        """The alias of the database that messages are written to unless ``using`` names another."""
        return self.aliases[0]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The aliases of all databases of the outbox, each once."""
        from django.db import router

        from rele.contrib.outbox.models import OutboxMessage

        if not self.using:
            return (router.db_for_write(OutboxMessage),)
        if isinstance(self.using, str):
            return (self.using,)
        return tuple(dict.fromkeys(self.using))
