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
"""The id, topic, ordering key and next attempt of a message that waits."""


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
    while due := list(_due(alias)[:limit]):
        ready, held_up = _divide(alias, due)
        _put_off(alias, held_up)
        if ready or not held_up:
            return ready
    return []


def _due(alias: str) -> QuerySet[OutboxMessage]:
    messages = OutboxMessage.objects.using(alias).filter(
        state=State.WAITING, next_attempt_at__lte=timezone.now()
    )
    if can_share(alias):
        messages = messages.select_for_update(skip_locked=True)
    return messages.order_by("next_attempt_at", "id")


def _divide(
    alias: str, due: Sequence[OutboxMessage]
) -> tuple[list[OutboxMessage], dict[datetime, list[int]]]:
    """Those of ``due`` with nothing of their key before them that is not in ``due``.

    Then the ids of those that cannot be sent before a time, by that time.
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
    """What waits of the keys of ``ordered``, up to the last of them: key by key, each in order.

    So it is sent, too: Google's client makes a request of what it gets of a key at a time.
    """
    if not ordered:
        return ()
    # A statement of its own, after the locks: it sees what the others have done until then.
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
    """Let each wait for what is before it: else they would be all that is ever found due."""
    for next_attempt_at, ids in held_up.items():
        messages = OutboxMessage.objects.using(alias).filter(id__in=ids)
        messages.update(next_attempt_at=next_attempt_at)
