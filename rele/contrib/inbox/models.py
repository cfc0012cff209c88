"""The messages that were handled."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import models
from django.utils import timezone

MAX_EVENT_ID = 1024
"""Characters; Pub/Sub takes no more bytes in an attribute."""


UNIQUE = "rele_inbox_digest"
"""The constraint that each event of a subscription has one row."""


def digest_of(subscription: str, event_id: str) -> str:
    """What stands for the two in the unique index.

    An index of MySQL or MariaDB has at most 3,072 bytes. Their default collations compare ``a``,
    ``A`` and ``á`` as equal, so two different events would be taken for one.
    """
    return hashlib.sha256(f"{subscription}\0{event_id}".encode()).hexdigest()


class DigestField(models.CharField):  # type: ignore[type-arg] # generic in the stubs alone
    """The digest of a row, which is computed whenever the row is written."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        assert isinstance(model_instance, InboxMessage)
        digest = digest_of(model_instance.subscription, model_instance.event_id)
        setattr(model_instance, self.attname, digest)
        return digest

    def deconstruct(self) -> Any:
        """Be a plain CharField in migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class InboxMessage(models.Model):
    """A message of a subscription, written in the transaction in which it is handled."""

    # Purging finds the oldest rows by their ids, which grow with time. An index on handled_at would
    # slow down each message.
    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=255)
    event_id = models.CharField(
        max_length=MAX_EVENT_ID, help_text="The attribute event_id, else the id that Pub/Sub gave."
    )
    digest = DigestField(max_length=64, editable=False)
    handled_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "message"
        constraints = [  # noqa: RUF012 - as Django declares it
            models.UniqueConstraint(fields=["digest"], name=UNIQUE),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} {self.event_id}"
