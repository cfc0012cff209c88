"""Scheduled messages become waiting ones when they are due."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime

from django.db import connections, transaction
from django.db.models import F, Min, QuerySet

from rele.contrib.outbox.models import OutboxMessage, State

CHUNK = 500
"""How many are promoted in one transaction."""


def promote(alias: str, now: datetime, shards: Collection[int] | None = None) -> list[int]:
    """Let up to ``CHUNK`` scheduled messages that are due wait to be sent; return their ids.

    From then on they cannot be cancelled. One that another transaction is cancelling is left for
    the next call, since that transaction may take long, and may be rolled back. Each joins its
    lane as if it had been committed when it was due.

    Args:
        alias: of the database.
        now: the time by the database's clock.
        shards: whose messages; ``None`` for all.
    """
    due = _scheduled(alias, shards).filter(next_attempt_at__lte=now)
    due = due.order_by("next_attempt_at", "id")
    if not due.exists():
        return []
    locks = connections[alias].features.has_select_for_update_skip_locked
    with transaction.atomic(using=alias) if locks else nullcontext():
        if locks:
            due = due.select_for_update(skip_locked=True)
        ids = list(due.values_list("id", flat=True)[:CHUNK])
        if ids:
            chosen = OutboxMessage.objects.using(alias).filter(id__in=ids, state=State.SCHEDULED)
            chosen.update(state=State.WAITING, committed_at=F("next_attempt_at"))
    return ids


def next_due(alias: str, shards: Collection[int] | None = None) -> datetime | None:
    """When the next scheduled message is due; ``None`` if there is none."""
    due: datetime | None = _scheduled(alias, shards).aggregate(due=Min("next_attempt_at"))["due"]
    return due


def _scheduled(alias: str, shards: Collection[int] | None) -> QuerySet[OutboxMessage]:
    scheduled = OutboxMessage.objects.using(alias).filter(state=State.SCHEDULED)
    return scheduled if shards is None else scheduled.filter(shard__in=shards)
