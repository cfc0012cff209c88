"""Deleting old records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from rele.contrib.inbox.models import InboxMessage

CHUNK = 1_000
"""Rows that are deleted in one transaction, which is short so that no handler waits for it."""


def handled_before(alias: str, moment: datetime) -> QuerySet[InboxMessage]:
    """What was handled before ``moment``, on the database ``alias``."""
    return InboxMessage.objects.using(alias).filter(handled_at__lt=moment)


def delete_in_chunks(messages: QuerySet[InboxMessage]) -> Iterator[int]:
    """Delete ``messages``, the oldest first, and give the number of each chunk."""
    last = 0
    # From the last one on: deleted rows stay in the index for a while, and would be read again.
    while ids := _next_ids(messages.filter(id__gt=last)):
        last = ids[-1]
        deleted, _ = messages.filter(id__range=(ids[0], last)).delete()
        yield deleted


def _next_ids(messages: QuerySet[InboxMessage]) -> list[int]:
    return list(messages.order_by("id").values_list("id", flat=True)[:CHUNK])
