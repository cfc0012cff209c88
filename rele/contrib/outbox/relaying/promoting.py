"""Scheduled messages become waiting ones when they are due."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from datetime import datetime

from django.db import connections, transaction
from django.db.models import F, Min, QuerySet

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement

CHUNK = 500
"""How many are promoted in one transaction."""

_INTERVAL = 1.0
"""Seconds between two looks for messages that are due."""


class Promoter:
    """Promotes the scheduled messages of one relay when they are due.

    Args:
        alias: of the database.
        clock: the database's.
    """

    def __init__(self, alias: str, clock: DatabaseClock) -> None:
        self._alias = alias
        self._clock = clock
        self.due_at = 0.0
        """When to look again, in monotonic seconds."""

    def promote(self, now: float, owned: frozenset[int]) -> bool:
        """Let what is due of the ``owned`` shards wait to be sent; return whether there was any.

        Raises:
            django.db.Error: the database cannot be used.
        """
        if now < self.due_at or not owned:
            return False
        shards = None if len(owned) == SHARDS else owned
        self.due_at = now + _INTERVAL
        # First what an index answers at once, however many are scheduled.
        due = run_statement(self._alias, lambda: next_due(self._alias, shards))
        if due is None:
            return False
        time_now = self._clock.now()
        due_in = (due - time_now).total_seconds()
        if due_in > 0:
            self.due_at = now + min(due_in, _INTERVAL)
            return False
        promoted = run_statement(self._alias, lambda: promote(self._alias, time_now, shards))
        # One that is overdue then is being cancelled by a transaction that is still open.
        if promoted:
            self.due_at = now
        return bool(promoted)


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
