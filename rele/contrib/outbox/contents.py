"""What is in the outbox, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from rele.cli.style import Style
from rele.cli.table import age, aligned, block
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.presence import present_relays
from rele.contrib.outbox.upkeep import Group, groups

SHOWN_PARKED = 20
"""How many parked messages of a database the table shows; JSON has all."""

NO_RELAY = "run `manage.py rele relay`, or `manage.py runrele --relay`."

_NUMBERS = frozenset({"Messages", "Oldest"})


@dataclass(frozen=True)
class Contents:
    """What is in the outbox of one database."""

    alias: str
    groups: list[Group]
    parked: QuerySet[OutboxMessage]
    """In the order in which they were written."""
    relays: list[str]
    """The names of the running relays."""

    @property
    def parked_count(self) -> int:
        return sum(group.count for group in self.groups if group.state == State.PARKED)


def messages_of(alias: str, topic: str | None = None) -> QuerySet[OutboxMessage]:
    """The messages of the database ``alias``; only those of ``topic``, if it is given."""
    messages = OutboxMessage.objects.using(alias)
    return messages.filter(topic=topic) if topic else messages.all()


def parked_of(messages: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """The parked ones of ``messages``, without their payloads."""
    return messages.filter(state=State.PARKED).defer("data").order_by("id")


def contents_of(alias: str, topic: str | None = None) -> Contents:
    """What is in the outbox of the database ``alias``; only what is of ``topic``, if it is given.

    Raises:
        OutboxError: the database cannot be used.
    """
    with explained_errors(alias):
        messages = messages_of(alias, topic)
        return Contents(alias, groups(messages), parked_of(messages), present_relays(alias))


def as_json(databases: Sequence[Contents], now: datetime) -> dict[str, Any]:
    """All of it, as data for JSON."""
    return {
        "messages": [
            {
                "database": contents.alias,
                "state": group.state.label,
                "topic": group.topic,
                "messages": group.count,
                "oldest_seconds": (now - group.oldest).total_seconds(),
            }
            for contents in databases
            for group in contents.groups
        ],
        "parked": [
            {
                "database": contents.alias,
                "topic": message.topic,
                "event_id": message.event_id,
                "attempts": message.attempts,
                "last_error": message.last_error,
            }
            for contents in databases
            for message in contents.parked
        ],
        "relays": [name for contents in databases for name in contents.relays],
    }


def as_text(
    databases: Sequence[Contents], now: datetime, width: int, style: Style
) -> Iterator[str]:
    """The lines for people, no wider than ``width`` unless a name or a number is."""
    yield from _table(databases, now, style)
    for contents in databases:
        yield from _parked(contents, width, style)
    yield ""
    for contents in databases:
        where = f" on {contents.alias!r}" if len(databases) > 1 else ""
        if contents.relays:
            yield f"Running relays{where}: {', '.join(contents.relays)}"
        else:
            yield style.warning(f"No relay is running{where}: {NO_RELAY}")


def _table(databases: Sequence[Contents], now: datetime, style: Style) -> Iterator[str]:
    rows = [
        (
            contents.alias,
            group.state.label,
            group.topic,
            f"{group.count:,}",
            age((now - group.oldest).total_seconds()),
        )
        for contents in databases
        for group in contents.groups
    ]
    if not rows:
        yield "The outbox is empty."
        return
    table = [("Database", "State", "Topic", "Messages", "Oldest"), *rows]
    if len(databases) == 1:
        yield from aligned([row[1:] for row in table], _NUMBERS, style)
    else:
        yield from aligned(table, _NUMBERS, style)


def _parked(contents: Contents, width: int, style: Style) -> Iterator[str]:
    for message in contents.parked[:SHOWN_PARKED]:
        yield ""
        yield from block(
            str(message),
            [("Attempts", str(message.attempts)), ("Last error", message.last_error or "-")],
            width,
            style,
        )
    if (more := contents.parked_count - SHOWN_PARKED) > 0:
        yield ""
        yield f"... and {more:,} more that are parked: `--format json` has all of them."
