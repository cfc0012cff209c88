"""How far each event has come: written into the outbox, sent, handled."""

from collections import defaultdict
from dataclasses import dataclass

from rele.contrib.inbox.models import InboxMessage
from rele.contrib.outbox.models import OutboxMessage


@dataclass(frozen=True)
class Journey:
    """An event, and the subscriptions that have handled it so far."""

    event: OutboxMessage
    handled: list[InboxMessage]


def latest_journeys(limit: int) -> list[Journey]:
    """Return those of the newest events, the newest first."""
    events = list(OutboxMessage.objects.order_by("-id")[:limit])
    handled = defaultdict(list)
    ids = [event.event_id for event in events]
    for entry in InboxMessage.objects.filter(event_id__in=ids).order_by("id"):
        handled[entry.event_id].append(entry)
    return [Journey(event, handled[event.event_id]) for event in events]
