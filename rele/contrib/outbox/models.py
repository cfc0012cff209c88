"""The messages that wait to be sent, and the relays that send them."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from rele.contrib.outbox.indexes import ConditionIndex, PrefixIndex
from rele.contrib.outbox.lanes import LaneField, ShardField

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
    DELAYED = 3, "delayed"
    """Refused by Pub/Sub, and waiting for its next attempt."""
    SCHEDULED = 4, "scheduled"
    """To be sent later. It is waiting from then on."""


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
    next_attempt_at = models.DateTimeField(
        default=timezone.now, help_text="When a delayed or scheduled one is due."
    )
    lane = LaneField(
        null=True, editable=False, help_text="Stands for the topic and the ordering key."
    )
    shard = ShardField(
        null=True, editable=False, help_text="One relay at a time sends the messages of a shard."
    )
    committed_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="When it was published, kept before its row is changed for the first time.",
    )
    last_error = models.TextField(default="", blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "message"
        permissions = (
            ("retry_outboxmessage", "Can let messages be tried again"),
            ("discard_outboxmessage", "Can discard messages"),
        )
        # Where the database has partial indexes, what is settled is in none that is read for each
        # message, so that any number of such messages slows no relay down.
        indexes = [  # noqa: RUF012 - as Django declares it
            ConditionIndex(
                # By the id alone: with the state before it, PostgreSQL takes the primary key
                # for cheaper, and passes all rows that are not waiting.
                fields=["id"],
                name="rele_outbox_waiting",
                condition=models.Q(state=State.WAITING),
                column="state",
            ),
            models.Index(
                # With those that are sent and parked: they are counted and purged by it.
                fields=["state", "next_attempt_at", "id"],
                name="rele_outbox_due",
                condition=~models.Q(state=State.WAITING),
            ),
            models.Index(
                fields=["lane", "id"],
                name="rele_outbox_lane",
                condition=models.Q(lane__isnull=False, state__in=(State.WAITING, State.DELAYED)),
            ),
            PrefixIndex(
                fields=["event_id"],
                name="rele_outbox_scheduled",
                condition=models.Q(state=State.SCHEDULED),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.event_id}"


class Relay(models.Model):
    """A relay, and when it was last known to be running."""

    name = models.CharField(
        max_length=255, primary_key=True, help_text="host:random part:process id"
    )
    seen_at = models.DateTimeField(default=timezone.now)
    session_lock = models.BigIntegerField(
        null=True, help_text="The lock of its database session, which ends with the session."
    )
    sent = models.BigIntegerField(default=0, help_text="How many messages it has sent.")
    rate = models.FloatField(default=0, help_text="Messages a second, lately.")

    def __str__(self) -> str:
        return self.name


class Shard(models.Model):
    """A part of the outbox, and which relay sends its messages now."""

    number = models.PositiveSmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=255, default="", blank=True, help_text="A relay's name.")
    expires_at = models.DateTimeField(
        default=timezone.now, help_text="When another relay may take the shard."
    )

    def __str__(self) -> str:
        return f"{self.number}: {self.holder or 'free'}"
