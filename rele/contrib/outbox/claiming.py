"""Which waiting messages a relay may send now."""

from __future__ import annotations

from collections.abc import Sequence

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
    messages = OutboxMessage.objects.using(alias).filter(
        state=State.WAITING, next_attempt_at__lte=timezone.now()
    )
    if can_share(alias):
        messages = messages.select_for_update(skip_locked=True)
    due = list(messages.order_by("next_attempt_at", "id")[:limit])
    unordered = [message for message in due if not message.ordering_key]
    return unordered + _heads(alias, [message for message in due if message.ordering_key])


def _heads(alias: str, due: Sequence[OutboxMessage]) -> list[OutboxMessage]:
    """Those of ``due`` with nothing of their key before them that is not in ``due``."""
    if not due:
        return []
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
        .values_list("id", "topic", "ordering_key")
    )
    heads: list[OutboxMessage] = []
    interrupted: set[tuple[str, str]] = set()
    for id_, topic, key in waiting:
        if id_ not in by_id:
            interrupted.add((topic, key))
        elif (topic, key) not in interrupted:
            heads.append(by_id[id_])
    return heads
