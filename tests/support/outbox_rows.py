"""Many rows of an outbox on PostgreSQL, and what a relay does to the database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from rele.contrib.outbox.lanes import lane_of, shard_of
from tests.support.outbox import ALIAS

TABLE = "rele_outbox_outboxmessage"


def insert(
    count: int, *, topic: str = "orders", key: str = "", state: int = 0, data: str = "'1'"
) -> None:
    """Insert so many rows at once, with ids that follow those of all others."""
    lane = lane_of(topic, key)
    shard = "mod(n, 16)" if lane is None else str(shard_of(lane, ""))
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (event_id, topic, data, attributes, ordering_key, state,"
            " created_at, attempts, next_attempt_at, lane, shard, last_error)"
            f" SELECT 'event-' || n, %s, {data}, '{{}}', %s, %s, now(), 0, now(), %s, {shard}, ''"
            " FROM generate_series(1, %s) AS n",
            [topic, key, state, lane, count],
        )
        cursor.execute(f"ANALYZE {TABLE}")


@dataclass
class Statements:
    """What other threads than the test's have executed."""

    all: list[tuple[str, Any]] = field(default_factory=list)

    def of(self, word: str) -> list[tuple[str, Any]]:
        """Those about the messages that begin with ``word``."""
        return [each for each in self.all if each[0].startswith(word) and TABLE in each[0]]


@contextmanager
def recorded() -> Iterator[Statements]:
    """Record the statements of the connections that other threads open in the block."""
    statements = Statements()
    own = threading.get_ident()

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.all.append((sql, params))
        return execute(sql, params, many, context)

    def watch(connection: Any, **_: Any) -> None:
        if threading.get_ident() != own and record not in connection.execute_wrappers:
            connection.execute_wrappers.append(record)

    connection_created.connect(watch)
    try:
        yield statements
    finally:
        connection_created.disconnect(watch)


def plan_of(sql: str, params: Any) -> list[tuple[str, str]]:
    """The nodes of a statement's plan that read the table, each with the index that it uses."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        [answer] = cursor.fetchone()
    plan = json.loads(answer) if isinstance(answer, str) else answer
    return list(_nodes(plan[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if node.get("Relation Name") == TABLE or "Index Name" in node:
        yield node["Node Type"], node.get("Index Name", "")
    for child in node.get("Plans", ()):
        yield from _nodes(child)
