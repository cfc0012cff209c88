"""The scheduled messages of an outbox, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from rele.cli.style import Style
from rele.cli.table import age, aligned
from rele.contrib.outbox.contents import messages_of
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.clock import DatabaseClock

SHOWN = 100
"""How many of a database the table shows; JSON has all."""


@dataclass(frozen=True)
class Upcoming:
    """The scheduled messages of one database."""

    alias: str
    messages: QuerySet[OutboxMessage]
    """Without their payloads, those first that are due first."""
    count: int
    now: datetime
    """The time by the database's clock."""

    def seconds_until(self, message: OutboxMessage) -> float:
        """In how many seconds it is due; less than none if a relay is late."""
        return (message.next_attempt_at - self.now).total_seconds()


def upcoming_of(alias: str, topic: str | None = None) -> Upcoming:
    """The scheduled messages of the database ``alias``; only those of ``topic``, if it is given.

    Raises:
        OutboxError: the database cannot be used.
    """
    with explained_errors(alias):
        scheduled = messages_of(alias, topic).filter(state=State.SCHEDULED)
        shown = scheduled.defer("data", "attributes").order_by("next_attempt_at", "id")
        return Upcoming(alias, shown, scheduled.count(), DatabaseClock(alias).now())


def as_json(databases: Sequence[Upcoming]) -> dict[str, Any]:
    """All of it, as data for JSON."""
    return {
        "scheduled": [
            {
                "database": upcoming.alias,
                "event_id": message.event_id,
                "topic": message.topic,
                "ordering_key": message.ordering_key,
                "due": message.next_attempt_at.isoformat(),
                "due_in_seconds": upcoming.seconds_until(message),
            }
            for upcoming in databases
            for message in upcoming.messages.iterator()
        ]
    }


def as_text(databases: Sequence[Upcoming], style: Style) -> Iterator[str]:
    """The lines for people."""
    rows = [
        (upcoming.alias, message.event_id, message.topic, _due_in(upcoming.seconds_until(message)))
        for upcoming in databases
        for message in upcoming.messages[:SHOWN]
    ]
    if not rows:
        yield "No message is scheduled."
        return
    first = 0 if len(databases) > 1 else 1
    table = [("Database", "Event id", "Topic", "Due in"), *rows]
    yield from aligned([row[first:] for row in table], frozenset({"Due in"}), style)
    if (more := sum(max(upcoming.count - SHOWN, 0) for upcoming in databases)) > 0:
        yield ""
        yield f"... and {more:,} more that are scheduled: `--format json` has all of them."


def _due_in(seconds: float) -> str:
    return age(seconds) if seconds > 0 else "now"
