"""Which waiting messages a relay may send now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage, State

_Waiting: TypeAlias = "tuple[int, str, str, datetime]"
"""The id, topic, ordering key and next attempt of a waiting message."""


def can_share(alias: str) -> bool:
    """Whether relays can share the database: it can skip rows that another has locked."""
    return connections[alias].features.has_select_for_update_skip_locked


def claim(alias: str, limit: int, resting: Collection[str] = ()) -> list[OutboxMessage]:
    """Up to ``limit`` messages that are due, in the order in which to send them.

    None of the topics ``resting`` is among them.

    If the database can be shared, they are locked for this relay until its transaction ends. Of an
    ordering key it takes the first waiting messages without a gap, or none: no message of a key may
    overtake one that waits for its next attempt or that another relay has locked.
    """
    while due := list(_due(alias, resting)[:limit]):
        ready, held_up = _divide(alias, due)
        _put_off(alias, held_up)
        if ready or not held_up:
            return ready
    return []


def _due(alias: str, resting: Collection[str]) -> QuerySet[OutboxMessage]:
    messages = OutboxMessage.objects.using(alias).filter(
        state=State.WAITING, next_attempt_at__lte=timezone.now()
    )
    if resting:
        messages = messages.exclude(topic__in=resting)
    if can_share(alias):
        messages = messages.select_for_update(skip_locked=True)
    return messages.order_by("next_attempt_at", "id")


def _divide(
    alias: str, due: Sequence[OutboxMessage]
) -> tuple[list[OutboxMessage], dict[datetime, list[int]]]:
    """Those of ``due`` that can be sent, and the ids of the others by the time when they may be.

    A message with an ordering key must wait for each earlier one of its key that is not in ``due``.
    """
    ready = [message for message in due if not message.ordering_key]
    ordered = {message.id: message for message in due if message.ordering_key}
    held_up: dict[datetime, list[int]] = {}
    before: dict[tuple[str, str], datetime] = {}
    for id_, topic, ordering_key, next_attempt_at in _waiting(alias, ordered.values()):
        if (message := ordered.get(id_)) is None:
            before.setdefault((topic, ordering_key), next_attempt_at)
        elif (first := before.get((topic, ordering_key))) is None:
            ready.append(message)
        elif first > next_attempt_at:
            held_up.setdefault(first, []).append(id_)
    return ready, held_up


def _waiting(alias: str, ordered: Collection[OutboxMessage]) -> Iterable[_Waiting]:
    """The waiting messages that have the ordering keys of ``ordered``, up to the last of these.

    They are sorted by key and, within a key, in the order in which they were published. They are
    also sent in this order, so that consecutive messages of a key can share a request.
    """
    if not ordered:
        return ()
    # A separate statement, after the locks are taken, sees what other relays have done until then.
    return (
        OutboxMessage.objects.using(alias)
        .filter(
            state=State.WAITING,
            ordering_key__in={message.ordering_key for message in ordered},
            id__lte=max(message.id for message in ordered),
        )
        .exclude(ordering_key="")
        .order_by("ordering_key", "id")
        .values_list("id", "topic", "ordering_key", "next_attempt_at")
    )


def _put_off(alias: str, held_up: Mapping[datetime, Sequence[int]]) -> None:
    """Postpone each to the next attempt of what is before it; else only they would ever be due."""
    for next_attempt_at, ids in held_up.items():
        messages = OutboxMessage.objects.using(alias).filter(id__in=ids)
        messages.update(next_attempt_at=next_attempt_at)
