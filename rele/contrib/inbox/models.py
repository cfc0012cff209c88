"""The messages that were handled."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class InboxMessage(models.Model):
    """A message of a subscription, written in the transaction in which it is handled."""

    # Ids grow with the time, so purging finds the oldest by them: an index on handled_at would
    # only slow each message down.
    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=255)
    event_id = models.CharField(
        max_length=1024, help_text="The attribute event_id, else the id that Pub/Sub gave."
    )
    handled_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "message"
        constraints = [  # noqa: RUF012 - as Django declares it
            models.UniqueConstraint(fields=["subscription", "event_id"], name="rele_inbox_once"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} {self.event_id}"
