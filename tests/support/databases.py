"""Database servers of the tests' own: each can be killed, and started again on its data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any, Protocol

import environ
import psycopg

from tests.support import mariadb, postgres


class Server(Protocol):
    """A server on a port of its own."""

    url: str
    """Of an empty database, as ``django-environ`` reads it."""

    def start(self) -> None:
        """Return when it can be used."""

    def stop(self) -> None:
        """An orderly shutdown, in which clients are cut off."""

    def kill(self) -> None:
        """``kill -9``."""


RUNNING: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "postgres": postgres.running,
    "mariadb": mariadb.running,
}
"""What runs a server of each kind."""


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What the database of ``url`` answers."""
    if url.startswith("mysql"):
        return mariadb.execute(url, query, using=url.rpartition("/")[2])
    with closing(psycopg.connect(url)) as connection:
        return connection.execute(query).fetchall()


def settings_of(url: str) -> dict[str, Any]:
    """What Django's setting DATABASES says of it."""
    settings: dict[str, Any] = environ.Env.db_url_config(url)
    return settings
