"""Scheduled messages become waiting ones when they are due."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import F, Min, Q, QuerySet

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.unlocked import change_unlocked

CHUNK = 500
"""How many are promoted by one statement."""

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
        promoted = promote(self._alias, time_now, shards)
        # One that is overdue then is being cancelled by a transaction that is still open.
        if promoted:
            self.due_at = now
        return bool(promoted)


def promote(alias: str, now: datetime, shards: Collection[int] | None = None) -> list[int]:
    """Let up to ``CHUNK`` scheduled messages that are due wait to be sent.

    From then on they cannot be cancelled. One that another transaction is cancelling is left for
    the next call, since that transaction may take long, and may be rolled back. Each joins its
    lane as if it had been committed when it was due.

    Args:
        alias: of the database.
        now: the time by the database's clock.
        shards: whose messages; ``None`` for all.

    Returns:
        the ids of those that were due and are not locked now; some may just have been cancelled.

    Raises:
        django.db.Error: the database cannot be used.
    """
    due = _scheduled(alias, shards).filter(next_attempt_at__lte=now)
    due = due.order_by("next_attempt_at", "id")
    rest = due
    while found := _first(alias, rest):
        ids = [id_ for id_, _ in found]
        # By their ids, as cancelling does: statements that lock rows by different indexes deadlock
        # on MariaDB, and a deadlock costs whoever cancels the whole transaction.
        locked = change_unlocked(_scheduled(alias), ids, _promoted)
        if promoted := [id_ for id_ in ids if id_ not in locked]:
            return promoted
        # All of these are being cancelled. What is due after them does not wait for that.
        last, at = found[-1]
        rest = due.filter(Q(next_attempt_at__gt=at) | Q(next_attempt_at=at, id__gt=last))
    return []


def _first(alias: str, due: QuerySet[OutboxMessage]) -> list[tuple[int, datetime]]:
    """The ids of the first messages, and when each is due."""
    values = due.values_list("id", "next_attempt_at")[:CHUNK]
    return run_statement(alias, lambda: list(values))


def _promoted(chosen: QuerySet[OutboxMessage]) -> int:
    return chosen.update(state=State.WAITING, committed_at=F("next_attempt_at"))


def next_due(alias: str, shards: Collection[int] | None = None) -> datetime | None:
    """When the next scheduled message is due; ``None`` if there is none."""
    due: datetime | None = _scheduled(alias, shards).aggregate(due=Min("next_attempt_at"))["due"]
    return due


def _scheduled(alias: str, shards: Collection[int] | None = None) -> QuerySet[OutboxMessage]:
    scheduled = OutboxMessage.objects.using(alias).filter(state=State.SCHEDULED)
    return scheduled if shards is None else scheduled.filter(shard__in=shards)
