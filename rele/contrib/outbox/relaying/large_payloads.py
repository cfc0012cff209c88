"""Large payloads from PostgreSQL, in half of the memory.

Django lets PostgreSQL write a payload as text, two characters for each byte, and the driver keeps
that text beside the bytes. psycopg 3 can read the bytes themselves.
"""

from __future__ import annotations

import importlib
from typing import Any

from django.db import connections
from django.db.models import QuerySet

LARGE = 1_000_000
"""Bytes; below, the usual way costs less than another kind of cursor."""


def can_read_bytes(alias: str) -> bool:
    """Whether the connection to the database ``alias`` is of psycopg 3."""
    return hasattr(connections[alias].connection, "pgconn")


def read_bytes(values: QuerySet[Any, tuple[Any, ...]], alias: str) -> list[tuple[Any, ...]]:
    """The rows of ``values``, which were made by ``values_list()``.

    Raises:
        django.db.Error: the database cannot be used.
    """
    connection = connections[alias]
    sql, params = values.query.sql_with_params()
    psycopg = importlib.import_module("psycopg")
    with (
        connection.wrap_database_errors,
        psycopg.Cursor(connection.connection) as cursor,
    ):
        # Not prepared: PgBouncer may run the next statement on another connection.
        cursor.execute(sql, params, prepare=False, binary=True)
        return list(cursor)
