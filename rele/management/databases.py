"""Django's databases: what is wrong with their settings for a worker, and a thread's connections.

Each connection is closed and renewed by itself, so that one that fails does not keep the others.
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from django.db import connections

from rele.schema.problems import Problem

logger = logging.getLogger(__name__)

LASTING_CONNECTIONS = "rele.W005"
"""The id of the problem that a database's connections outlive a message."""


def problems_of_databases(
    databases: Mapping[str, Mapping[str, Any]], middleware: Iterable[str]
) -> Iterator[Problem]:
    """What is wrong with Django's setting DATABASES, and with RELE['MIDDLEWARE'] beside it."""
    used = {
        alias: database
        for alias, database in databases.items()
        if database.get("ENGINE") not in (None, "django.db.backends.dummy")
    }
    if used and not any(map(_closes_connections, middleware)):
        yield Problem(
            "rele.W004",
            "A database is in use without DjangoDBMiddleware: the worker's threads would keep "
            "connections that the database has closed.",
            "Add 'rele.contrib.DjangoDBMiddleware' to RELE['MIDDLEWARE'].",
            "MIDDLEWARE",
        )
    for alias, database in used.items():
        if database.get("CONN_MAX_AGE", 0) != 0:
            yield Problem(
                LASTING_CONNECTIONS,
                f"The database {alias!r} has CONN_MAX_AGE = {database['CONN_MAX_AGE']!r}: each "
                "thread of the worker would keep a connection open.",
                "Set CONN_MAX_AGE to 0 for the worker.",
            )


def _closes_connections(path: str) -> bool:
    try:
        middleware = pkgutil.resolve_name(path)
    except Exception:  # noqa: BLE001 - the project's own code; another check reports it
        return False
    return bool(getattr(middleware, "closes_database_connections", False))


def renew_connections(*, keep: Container[str] = ()) -> None:
    """Close this thread's connections that are unusable or too old; the next query reopens them.

    A connection in the middle of a transaction stays open: it is the caller's.

    Args:
        keep: aliases whose connections are left alone.
    """
    for connection in connections.all(initialized_only=True):
        if connection.alias not in keep:
            _renew(connection)


def renew_failed_connections() -> None:
    """Close those of this thread's connections that a failed query has made unusable."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            _renew(connection)


def close_connections() -> None:
    """Close all of this thread's connections."""
    for connection in connections.all(initialized_only=True):
        _close(connection)


def _renew(connection: Any) -> None:
    if connection.in_atomic_block:
        return
    try:
        connection.close_if_unusable_or_obsolete()
    except Exception as error:  # noqa: BLE001 - the driver's; the others follow
        _warn(connection.alias, error)
        _close(connection)


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - the driver's; the others follow
        _warn(connection.alias, error)


def _warn(alias: str, error: Exception) -> None:
    logger.warning(
        "Closing the connection to the database %r failed: %s: %s",
        alias,
        type(error).__name__,
        error,
    )
