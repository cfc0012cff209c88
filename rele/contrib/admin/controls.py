"""What has been decided about subscriptions: changing it, and reading it for a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from rele.config import Config
from rele.contrib.admin.exceptions import explained_errors
from rele.contrib.admin.models import Note, Subscription
from rele.management.databases import close_connections
from rele.status.controls import ReadControls, SubscriptionControl

_NAME = 255


def reader(config: Config) -> ReadControls:
    """What reads the decisions; it keeps no connection to the database."""

    def read() -> dict[str, SubscriptionControl]:
        try:
            with explained_errors():
                return {
                    row.name: SubscriptionControl(row.is_paused, row.threads)
                    for row in Subscription.objects.only("name", "is_paused", "threads")
                }
        finally:
            close_connections()

    return read


def pause(name: str, by: str) -> Subscription:
    """Let all workers of the project stop consuming the subscription, within some seconds.

    Args:
        name: of the subscription.
        by: who decides it.

    Raises:
        django.db.Error: the database cannot be used.
    """
    return _decide(name, by, is_paused=True)


def resume(name: str, by: str) -> Subscription:
    """Let all workers of the project consume the subscription again: see :func:`pause`."""
    return _decide(name, by, is_paused=False)


def set_threads(name: str, threads: int | None, by: str) -> Subscription:
    """Let each worker process handle that many messages at a time: see :func:`pause`.

    Args:
        name: of the subscription.
        threads: at least 1; ``None`` for what the code and the command line say.
        by: who decides it.
    """
    return _decide(name, by, threads=threads)


def decide_and_note(decide: Callable[[], object], name: str, by: str, what: str) -> None:
    """Decide about a subscription, and note who did so; both, or neither.

    Args:
        decide: writes the decision.
        name: of the subscription.
        by: who decides it, without being a user of Django's.
        what: was decided, as a sentence.
    """
    with transaction.atomic(using=router.db_for_write(Subscription)):
        decide()
        Note.objects.create(subscription=name[:_NAME], by=by[:_NAME], what=what)


def note_action(config: Config, name: str, by: str, what: str) -> None:
    """Note what somebody has done about a subscription with a command.

    Raises:
        PageError: the tables cannot be used.
    """
    with explained_errors():
        decide_and_note(lambda: None, name, by, what)


def _decide(name: str, by: str, **decision: Any) -> Subscription:
    row, _ = Subscription.objects.update_or_create(
        name=name,
        defaults={**decision, "changed_at": timezone.now(), "changed_by": by[:_NAME]},
    )
    return row
