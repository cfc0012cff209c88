"""What is in the outbox, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from rele.contrib.outbox.counting import COUNTED, Count, counts_of
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard, State
from rele.contrib.outbox.relaying.presence import present_relays


@dataclass(frozen=True)
class Contents:
    """What is in the outbox of one database."""

    alias: str
    counts: list[Count]
    parked: QuerySet[OutboxMessage]
    """In the order in which they were parked."""
    delayed: QuerySet[OutboxMessage]
    """In the order of their next attempts."""
    relays: list[RelayFigures]
    """The running ones."""

    @property
    def oldest_waiting(self) -> datetime | None:
        """When the oldest waiting message was published, or was due if it was scheduled."""
        published = [
            group.oldest
            for count in self.counts
            if count.state == State.WAITING
            for group in count.groups
        ]
        return min(published, default=None)

    @property
    def rate(self) -> float:
        """How many messages all relays send in a second."""
        return sum(relay.rate for relay in self.relays)

    def number_of(self, state: State) -> int:
        """How many messages of a state were counted."""
        return sum(
            group.count for count in self.counts if count.state == state for group in count.groups
        )


@dataclass(frozen=True)
class RelayFigures:
    """A running relay, and what it has done."""

    name: str
    shards: int
    """How many shards it has."""
    sent: int
    rate: float
    """Messages a second, lately."""
    seen_at: datetime


def messages_of(alias: str, topic: str | None = None) -> QuerySet[OutboxMessage]:
    """The messages of the database ``alias``; only those of ``topic``, if it is given."""
    messages = OutboxMessage.objects.using(alias)
    return messages.filter(topic=topic) if topic else messages.all()


def parked_of(messages: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """The parked ones of ``messages``, without their payloads."""
    return _in_order(messages.filter(state=State.PARKED))


def contents_of(alias: str, topic: str | None = None) -> Contents:
    """What is in the outbox of the database ``alias``; only what is of ``topic``, if it is given.

    Raises:
        OutboxError: the database cannot be used.
    """
    with explained_errors(alias):
        messages = messages_of(alias, topic)
        return Contents(
            alias,
            counts_of(messages),
            parked_of(messages),
            _in_order(messages.filter(state=State.DELAYED)),
            _relays(alias),
        )


def _in_order(messages: QuerySet[OutboxMessage]) -> QuerySet[OutboxMessage]:
    """As in the index by which they are found."""
    return messages.defer("data", "attributes").order_by("next_attempt_at", "id")


def _relays(alias: str) -> list[RelayFigures]:
    holders = list(Shard.objects.using(alias).values_list("holder", flat=True))
    present = Relay.objects.using(alias).filter(name__in=present_relays(alias)).order_by("name")
    return [
        RelayFigures(relay.name, holders.count(relay.name), relay.sent, relay.rate, relay.seen_at)
        for relay in present
    ]


def as_json(databases: Sequence[Contents], now: datetime) -> dict[str, Any]:
    """All of it, as data for JSON."""
    return {
        "messages": [each for contents in databases for each in _messages(contents, now)],
        "more": [each for contents in databases for each in _more(contents)],
        "parked": [
            _failed(contents.alias, message)
            for contents in databases
            for message in contents.parked[:COUNTED]
        ],
        "delayed": [
            {
                **_failed(contents.alias, message),
                "next_attempt_seconds": (message.next_attempt_at - now).total_seconds(),
            }
            for contents in databases
            for message in contents.delayed[:COUNTED]
        ],
        "lag": [_lag(contents, now) for contents in databases],
        "relays": [relay.name for contents in databases for relay in contents.relays],
        "throughput": [each for contents in databases for each in _throughput(contents)],
    }


def _messages(contents: Contents, now: datetime) -> Iterator[dict[str, Any]]:
    for count in contents.counts:
        for group in count.groups:
            yield {
                "database": contents.alias,
                "state": group.state.label,
                "topic": group.topic,
                "messages": group.count,
                "oldest_seconds": (now - group.oldest).total_seconds(),
            }


def _more(contents: Contents) -> Iterator[dict[str, Any]]:
    for count in contents.counts:
        if not count.is_complete:
            yield {
                "database": contents.alias,
                "state": count.state.label,
                "counted": COUNTED,
                "estimate": count.estimate,
            }


def _throughput(contents: Contents) -> Iterator[dict[str, Any]]:
    for relay in contents.relays:
        yield {
            "database": contents.alias,
            "relay": relay.name,
            "shards": relay.shards,
            "sent": relay.sent,
            "per_second": relay.rate,
        }


def _failed(alias: str, message: OutboxMessage) -> dict[str, Any]:
    return {
        "database": alias,
        "topic": message.topic,
        "event_id": message.event_id,
        "attempts": message.attempts,
        "last_error": message.last_error,
    }


def _lag(contents: Contents, now: datetime) -> dict[str, Any]:
    oldest = contents.oldest_waiting
    seconds = 0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0)
    return {"database": contents.alias, "seconds": seconds}
