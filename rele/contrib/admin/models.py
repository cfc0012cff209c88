"""What workers report about themselves, and what has been decided about subscriptions."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Subscription(models.Model):
    """What somebody has decided about a subscription, for all workers of the project.

    One without a row is consumed as the code declares it.
    """

    name = models.CharField(
        max_length=255, primary_key=True, help_text="The subscription's id, without the project."
    )
    is_paused = models.BooleanField(default=False)
    threads = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How many messages a worker process handles at a time; empty: as declared.",
    )
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.CharField(max_length=255, default="", blank=True)

    class Meta:
        default_permissions = ("view",)
        permissions = (
            ("pause_subscription", "Can pause and resume subscriptions, and set their threads"),
            ("replay_deadletter", "Can replay dead letters"),
        )

    def __str__(self) -> str:
        return self.name


class Note(models.Model):
    """What somebody has done about a subscription with a command.

    What users of the admin do is in its own log, which is about Django's users alone.
    """

    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=255)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    by = models.CharField(
        max_length=255, help_text="The user of the operating system, and the machine."
    )
    what = models.TextField(help_text="A sentence.")

    class Meta:
        default_permissions = ()
        indexes = [  # noqa: RUF012 - as Django declares it
            models.Index(fields=["subscription", "at"], name="rele_admin_notes")
        ]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.what}"


class Process(models.Model):
    """A worker process, and what it last reported."""

    name = models.CharField(max_length=255, primary_key=True)
    seen_at = models.DateTimeField(default=timezone.now, db_index=True)
    snapshot = models.TextField(help_text="As JSON.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return self.name


class Minute(models.Model):
    """What one process handled of one subscription in one minute."""

    id = models.BigAutoField(primary_key=True)
    subscription = models.CharField(max_length=255)
    run = models.CharField(max_length=255, help_text="The process, and when it began.")
    minute = models.BigIntegerField(help_text="Since the epoch.")
    handled = models.PositiveIntegerField(default=0, help_text="Messages, with the failed ones.")
    failed = models.PositiveIntegerField(default=0)
    durations = models.JSONField(
        default=dict, help_text="How many messages took as long as each step of the scale."
    )

    class Meta:
        default_permissions = ()
        constraints = [  # noqa: RUF012 - as Django declares it
            models.UniqueConstraint(
                fields=["minute", "subscription", "run"], name="rele_admin_once"
            )
        ]
        indexes = [  # noqa: RUF012 - as Django declares it
            models.Index(fields=["subscription", "minute"], name="rele_admin_history")
        ]

    def __str__(self) -> str:
        return f"{self.subscription} {self.minute}"


class Failure(models.Model):
    """What handlers of one subscription raised: errors of one kind from one place, counted."""

    fingerprint = models.CharField(max_length=64, primary_key=True)
    subscription = models.CharField(max_length=255)
    kind = models.CharField(max_length=255, help_text="The exception's class.")
    text = models.TextField(help_text="The first line of the latest one's message.")
    place = models.CharField(max_length=255, help_text="Where the latest one was raised.")
    traceback = models.TextField(help_text="Of the latest one that was kept.")
    count = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} in {self.subscription}"
