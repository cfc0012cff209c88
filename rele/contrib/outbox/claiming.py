"""Which waiting messages a relay may send now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import connections
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage, State


def can_share(alias: str) -> bool:
    """Whether several relays can work on that database: it can skip what another has locked."""
    return connections[alias].features.has_select_for_update_skip_locked


def claim(alias: str, limit: int) -> list[OutboxMessage]:
    """Up to ``limit`` messages that are due, in the order in which to send them.

    Within a transaction they are this relay's until it ends, where the database can share them.
    Of an ordering key it takes what follows on from the key's first waiting message, or nothing:
    so no message of the key overtakes another that waits for its next attempt, or that another
    relay has in hand.
    """
    while due := _due(alias, limit):
        ordered = [message for message in due if message.ordering_key]
        heads, behind = _heads(alias, ordered)
        claimed = [message for message in due if not message.ordering_key] + heads
        if claimed or not _postpone(alias, behind):
            return claimed
    return []


def _due(alias: str, limit: int) -> list[OutboxMessage]:
    messages = OutboxMessage.objects.using(alias).filter(
        state=State.WAITING, next_attempt_at__lte=timezone.now()
    )
    if can_share(alias):
        messages = messages.select_for_update(skip_locked=True)
    return list(messages.order_by("next_attempt_at", "id")[:limit])


_Behind = list[tuple[OutboxMessage, datetime]]
"""Messages that wait for another of their key, and when that one is due."""


def _heads(alias: str, due: Sequence[OutboxMessage]) -> tuple[list[OutboxMessage], _Behind]:
    """Those of ``due`` with nothing of their key before them that is not in ``due``; the others."""
    if not due:
        return [], []
    by_id = {message.id: message for message in due}
    # A statement of its own, after the locks: it sees what the others have done until then.
    waiting = (
        OutboxMessage.objects.using(alias)
        .filter(
            state=State.WAITING,
            ordering_key__in={message.ordering_key for message in due},
            id__lte=max(by_id),
        )
        .exclude(ordering_key="")
        .order_by("id")
        .values_list("id", "topic", "ordering_key", "next_attempt_at")
    )
    heads: list[OutboxMessage] = []
    behind: _Behind = []
    interrupted: dict[tuple[str, str], datetime] = {}
    for id_, topic, key, next_attempt_at in waiting:
        if id_ not in by_id:
            interrupted.setdefault((topic, key), next_attempt_at)
        elif (topic, key) in interrupted:
            behind.append((by_id[id_], interrupted[topic, key]))
        else:
            heads.append(by_id[id_])
    return heads, behind


def _postpone(alias: str, behind: _Behind) -> bool:
    """Let messages be due when the one is that they wait for; return whether any was due before.

    Else they would be looked at again and again, and hide from the relay what is due after them.
    """
    by_time: dict[datetime, list[int]] = {}
    for message, due_at in behind:
        if message.next_attempt_at < due_at:
            by_time.setdefault(due_at, []).append(message.id)
    for due_at, ids in by_time.items():
        OutboxMessage.objects.using(alias).filter(id__in=ids).update(next_attempt_at=due_at)
    return bool(by_time)
