"""Database servers of the tests' own: each can be killed, and started again on its data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

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


def create(url: str, name: str) -> str:
    """Create an empty database on the server of ``url``; return its own URL."""
    if url.startswith("mysql"):
        mariadb.execute(url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    else:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def settings_of(url: str) -> dict[str, Any]:
    """What Django's setting DATABASES says of it."""
    settings: dict[str, Any] = environ.Env.db_url_config(url)
    return settings


def end_relays_sessions(url: str) -> int:
    """End the sessions of the relays with the server, and return how many there were."""
    if not url.startswith("mysql"):
        query = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        return len(rows(url, query))
    locks = "CONCAT('rele_outbox_', LOWER(HEX(session_lock)))"
    sessions = rows(url, f"SELECT IS_USED_LOCK({locks}) FROM rele_outbox_relay")
    held = [session for (session,) in sessions if session is not None]
    for session in held:
        with suppress(Exception):  # it has ended by now
            rows(url, f"KILL {session}")
    return len(held)
