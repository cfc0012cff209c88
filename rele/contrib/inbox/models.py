"""The messages that were handled."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import models
from django.utils import timezone


def digest_of(subscription: str, event_id: str) -> str:
    """What stands for the two in the unique index.

    The index of MySQL and MariaDB holds at most 3,072 bytes, and their default collations compare
    ``a``, ``A`` and ``á`` as equal: there, two events would be one.
    """
    return hashlib.sha256(f"{subscription}\0{event_id}".encode()).hexdigest()


class DigestField(models.CharField):  # type: ignore[type-arg] # generic in the stubs alone
    """The digest of its row, however the row is written."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        assert isinstance(model_instance, InboxMessage)
        digest = digest_of(model_instance.subscription, model_instance.event_id)
        setattr(model_instance, self.attname, digest)
        return digest

    def deconstruct(self) -> Any:
        """As the column that it is, for migrations."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class InboxMessage(models.Model):
    """A message of a subscription, written in the transaction in which it is handled."""

    # Ids grow with the time, so purging finds the oldest by them: an index on handled_at would
    # only slow each message down.
    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=255)
    event_id = models.CharField(
        max_length=1024, help_text="The attribute event_id, else the id that Pub/Sub gave."
    )
    digest = DigestField(max_length=64, editable=False)
    handled_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "message"
        constraints = [  # noqa: RUF012 - as Django declares it
            models.UniqueConstraint(fields=["digest"], name="rele_inbox_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} {self.event_id}"
