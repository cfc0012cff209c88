"""Retrying and deleting messages of an outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.positions import kept_position, tracks_commits

CHUNK = 5_000
"""How many rows are changed in one transaction."""

FAILED = Q(state__in=(State.PARKED, State.DELAYED))
"""What Pub/Sub has refused and what is not sent yet."""

Messages = QuerySet[OutboxMessage]
Note = Callable[[list[OutboxMessage]], object]
"""Is given what is changed or deleted, without payloads, in the transaction that does it."""


def retry(messages: Messages, note: Note = len) -> int:
    """Let a relay send the failed ones as if they were new, in their places; return how many.

    A running relay notices within a second or so.
    Where the database has row locks, messages that somebody else is changing now are left out.
    """
    position = kept_position(tracks_commits(messages.db))
    retried = 0
    for chunk in _chunks(messages.filter(FAILED)):
        retried += (
            _rows_of(chunk, messages)
            .filter(FAILED)
            .update(state=State.WAITING, attempts=0, next_attempt_at=timezone.now(), **position)
        )
        note(chunk)
    return retried


def discard(messages: Messages, note: Note = len) -> int:
    """Delete messages, sent or not; return how many there were.

    A relay may have read one already, and sends it nevertheless. Later messages of the same
    ordering keys no longer wait for the deleted ones.
    """
    discarded = 0
    for chunk in _chunks(messages):
        discarded += _rows_of(chunk, messages).delete()[0]
        note(chunk)
    return discarded


def purge(messages: Messages) -> Iterator[int]:
    """Delete messages in chunks; yield the number of each."""
    for chunk in _chunks(messages):
        deleted, _ = _rows_of(chunk, messages).delete()
        yield deleted


def _rows_of(chunk: list[OutboxMessage], messages: Messages) -> Messages:
    return OutboxMessage.objects.using(messages.db).filter(id__in=[each.id for each in chunk])


def _chunks(messages: Messages) -> Iterator[list[OutboxMessage]]:
    """``messages`` in chunks, each in a transaction that has locked them where that is possible."""
    last = 0
    can_skip = connections[messages.db].features.has_select_for_update_skip_locked
    while True:
        with transaction.atomic(using=messages.db):
            rows = messages.filter(id__gt=last).order_by("id").defer("data", "attributes")
            if can_skip:
                rows = rows.select_for_update(skip_locked=True)
            chunk = list(rows[:CHUNK])
            if not chunk:
                return
            yield chunk
            last = chunk[-1].id
