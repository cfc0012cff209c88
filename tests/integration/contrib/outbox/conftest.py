"""Outboxes on real databases: see ``tests/unit/contrib/outbox/conftest.py``."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg

from tests.unit.conftest import hooks
from tests.unit.contrib.outbox.conftest import (
    database,
    make_relay,
    postgres,
    postgres_database,
    servers,
    sqlite,
    sqlite_database,
)

__all__ = (
    "database",
    "hooks",
    "make_relay",
    "postgres",
    "postgres_database",
    "servers",
    "sqlite",
    "sqlite_database",
)


def terminate_all_connections(database: dict[str, Any]) -> None:
    """As a restart of the server does."""
    with closing(
        psycopg.connect(
            host=database["HOST"], port=database["PORT"], user=database["USER"], dbname="postgres"
        )
    ) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [database["NAME"]],
        )
