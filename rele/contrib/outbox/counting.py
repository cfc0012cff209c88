"""Counting the messages of an outbox, at a cost that does not grow with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import DateTimeField, QuerySet, Value
from django.db.models.functions import Coalesce

from rele.contrib.outbox.models import OutboxMessage, State

COUNTED = 100_000
"""How many messages of a state are counted, at most."""


@dataclass(frozen=True)
class Group:
    """The messages of one topic in one state."""

    state: State
    topic: str
    count: int
    oldest: datetime
    """When the oldest of them was published: one that was scheduled, when it was due."""


@dataclass(frozen=True)
class Count:
    """The messages in one state."""

    state: State
    groups: list[Group]
    is_complete: bool
    """Whether there are no more; otherwise these are the first :data:`COUNTED` that were found."""
    estimate: int | None = None
    """Of more, about how many there are in all, as PostgreSQL's planner estimates."""


def counts_of(messages: QuerySet[OutboxMessage], states: Iterable[State] = State) -> list[Count]:
    """How many messages there are of each of ``states``, without those that have none."""
    return [count for state in states if (count := _count(messages, state)).groups]


def _count(messages: QuerySet[OutboxMessage], state: State) -> Count:
    found = messages.filter(state=state)
    published = Coalesce("committed_at", "created_at")
    counted = found.annotate(published=published).values("topic", "published")
    if state == State.WAITING:
        counted = counted.order_by("id")  # the oldest; the others are found by another index
    connection = connections[messages.db]
    sql, parameters = counted[: COUNTED + 1].query.get_compiler(messages.db).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT topic, COUNT(*), MIN(published) FROM "
            f"({sql}) counted GROUP BY topic ORDER BY topic",
            parameters,
        )
        rows = cursor.fetchall()
    groups = [
        Group(state, topic, count, _as_datetime(oldest, connection))
        for topic, count, oldest in rows
    ]
    is_complete = sum(group.count for group in groups) <= COUNTED
    return Count(state, groups, is_complete, None if is_complete else _estimate(found))


def _as_datetime(value: Any, connection: Any) -> datetime:
    """What a column of the model has where the driver gave ``value``."""
    column = Value(None, output_field=DateTimeField())
    for convert in connection.ops.get_db_converters(column):
        value = convert(value, column, connection)
    assert isinstance(value, datetime)
    return value


def _estimate(messages: QuerySet[OutboxMessage]) -> int | None:
    if connections[messages.db].vendor != "postgresql":
        return None
    [planned] = json.loads(messages.only("id").explain(format="json"))
    return max(int(planned["Plan"]["Plan Rows"]), COUNTED + 1)
