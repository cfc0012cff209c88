"""Outboxes of many messages on PostgreSQL, and how many rows it reads to answer a query."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.db import connections

_FILL = """
    INSERT INTO rele_outbox_outboxmessage (event_id, topic, data, attributes, ordering_key, state,
        created_at, attempts, next_attempt_at, last_error, shard)
    SELECT i::text, 'topic-' || i %% 20, decode(repeat('41', 300), 'hex'), '{}', '', %s,
        now() - (%s - i) * interval '1 second', 0, now(), '', i %% 16
    FROM generate_series(1, %s) i
"""


def fill(cursor: Any, state: int, number: int) -> None:
    """Write so many messages of twenty topics, a second apart from each other."""
    cursor.execute(_FILL, [int(state), number, number])
    cursor.execute("VACUUM ANALYZE rele_outbox_outboxmessage")


def rows_read(alias: str, queries: Iterable[dict[str, str]]) -> int:
    """How many rows the database reads to answer those queries of the outbox's messages."""
    selects = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("SELECT") and "rele_outbox_outboxmessage" in query["sql"]
    ]
    return sum(_rows_of(_plan_of(alias, sql)) for sql in selects)


def _plan_of(alias: str, sql: str) -> dict[str, Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[plans]] = cursor.fetchall()
    [found] = json.loads(plans) if isinstance(plans, str) else plans
    plan: dict[str, Any] = found["Plan"]
    return plan


def _rows_of(plan: dict[str, Any]) -> int:
    scanned = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    own = scanned * plan["Actual Loops"] if "Scan" in plan["Node Type"] else 0
    return int(own) + sum(map(_rows_of, plan.get("Plans", [])))
