"""This thread's connections to Django's databases: each is closed and renewed by itself."""

from __future__ import annotations

import logging
from collections.abc import Container
from typing import Any

from django.db import connections

logger = logging.getLogger(__name__)


def renew_connections(*, keep: Container[str] = ()) -> None:
    """Close those that are unusable or too old, so that the next query opens them again.

    One within a transaction stays open: it is the caller's.

    Args:
        keep: aliases whose connections are left alone.
    """
    for connection in connections.all(initialized_only=True):
        if connection.alias not in keep:
            _renew(connection)


def renew_failed_connections() -> None:
    """Close those on which a query has failed, where they are unusable since."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            _renew(connection)


def close_connections() -> None:
    """Close all of them."""
    for connection in connections.all(initialized_only=True):
        _close(connection)


def _renew(connection: Any) -> None:
    if connection.in_atomic_block:
        return
    try:
        connection.close_if_unusable_or_obsolete()
    except Exception as error:  # noqa: BLE001 - of the database's driver: the others follow
        _warn(connection.alias, error)
        _close(connection)


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - of the database's driver: the others follow
        _warn(connection.alias, error)


def _warn(alias: str, error: Exception) -> None:
    logger.warning(
        "Closing the connection to the database %r failed: %s: %s",
        alias,
        type(error).__name__,
        error,
    )
