"""The messages that wait to be sent, and the relays that send them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from rele.contrib.outbox.indexes import OrderingKeyIndex

# No message can have an attribute of that name: names with `goog` are reserved for Pub/Sub.
CAUSED_BY_RECORD = "goog-rele-caused-by-record"
"""Marks, among a row's attributes, a message that was caused by a log record about a publish.

It is never sent.
"""


class State(models.IntegerChoices):
    """What has become of a message."""

    WAITING = 0, "waiting"
    SENT = 1, "sent"
    PARKED = 2, "parked"


class OutboxMessage(models.Model):
    """One message, written in the transaction of whoever publishes it."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.CharField(max_length=1024, help_text="The same, however often it is sent.")
    topic = models.CharField(max_length=255)
    data = models.BinaryField(help_text="The payload, encoded.")
    attributes = models.JSONField(default=dict)
    ordering_key = models.CharField(max_length=1024, default="", blank=True)
    state = models.PositiveSmallIntegerField(choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often Pub/Sub refused it, for a reason that may last."
    )
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(default="", blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "message"
        permissions = (
            ("retry_outboxmessage", "Can let messages be tried again"),
            ("discard_outboxmessage", "Can discard messages"),
        )
        # Only waiting messages are in them: any number of sent or parked ones slows no relay down.
        indexes = [  # noqa: RUF012 - as Django declares it
            models.Index(
                fields=["next_attempt_at", "id"],
                name="rele_outbox_due",
                condition=models.Q(state=State.WAITING),
            ),
            OrderingKeyIndex(
                fields=["ordering_key", "id"],
                name="rele_outbox_key",
                condition=models.Q(state=State.WAITING) & ~models.Q(ordering_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.event_id}"

    @property
    def is_caused_by_record(self) -> bool:
        """Whether nothing is logged about its publish: see :mod:`rele.runtime.own_records`."""
        return CAUSED_BY_RECORD in self.attributes

    @property
    def sent_attributes(self) -> dict[str, str]:
        """The attributes with which the message is sent."""
        return {key: text for key, text in self.attributes.items() if key != CAUSED_BY_RECORD}


class Relay(models.Model):
    """A relay, and when it was last known to be running."""

    name = models.CharField(
        max_length=255, primary_key=True, help_text="host:random part:process id"
    )
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name
