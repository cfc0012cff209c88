"""Counting, retrying and deleting messages of an outbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.claiming import can_share

CHUNK = 5_000
"""How many rows are changed in one transaction."""

Messages = QuerySet[OutboxMessage]


@dataclass(frozen=True)
class Group:
    """The messages of one topic in one state."""

    state: State
    topic: str
    count: int
    oldest: datetime
    """When the oldest of them was written."""


def groups(messages: Messages) -> list[Group]:
    """How many there are of each state and topic."""
    rows = (
        messages.order_by("state", "topic")
        .values_list("state", "topic")
        .annotate(count=Count("id"), oldest=Min("created_at"))
    )
    return [Group(State(state), topic, count, oldest) for state, topic, count, oldest in rows]


def retry(messages: Messages) -> int:
    """Let a relay send the unsent ones as if they were new; return how many there are.

    Messages that a relay is sending now are left out.
    """
    now = timezone.now()
    unsent = messages.filter(state__in=(State.WAITING, State.PARKED))
    changed = 0
    for ids in _chunks(unsent):
        changed += (
            OutboxMessage.objects.using(messages.db)
            .filter(id__in=ids)
            .update(state=State.WAITING, attempts=0, next_attempt_at=now)
        )
    return changed


def discard(messages: Messages) -> int:
    """Delete messages, sent or not; return how many there were.

    Messages that a relay is sending now are left out. Later messages of the same ordering keys no
    longer wait for the deleted ones.
    """
    all_of_them = OutboxMessage.objects.using(messages.db)
    discarded = 0
    for ids in _chunks(messages):
        keys = set(
            all_of_them.filter(id__in=ids)
            .exclude(ordering_key="")
            .values_list("topic", "ordering_key")
        )
        discarded += all_of_them.filter(id__in=ids).delete()[0]
        for topic, key in keys:
            waiting = all_of_them.filter(state=State.WAITING, topic=topic, ordering_key=key)
            waiting.filter(attempts=0).update(next_attempt_at=timezone.now())
    return discarded


def purge(messages: Messages) -> Iterator[int]:
    """Delete messages in chunks; yield the number of each."""
    for ids in _chunks(messages):
        deleted, _ = OutboxMessage.objects.using(messages.db).filter(id__in=ids).delete()
        yield deleted


def _chunks(messages: Messages) -> Iterator[list[int]]:
    """The ids of ``messages`` in chunks, each in a transaction that has locked them."""
    last = 0
    while True:
        with transaction.atomic(using=messages.db):
            rows = messages.filter(id__gt=last).order_by("id")
            if can_share(messages.db):
                rows = rows.select_for_update(skip_locked=True)
            ids = list(rows.values_list("id", flat=True)[:CHUNK])
            if not ids:
                return
            yield ids
            last = ids[-1]
