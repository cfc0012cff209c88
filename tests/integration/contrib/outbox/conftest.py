"""Outboxes on PostgreSQL, too: see ``tests/unit/contrib/outbox/conftest.py``."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import environ
import psycopg
import pytest

from tests.support.outbox import filled_in, installed
from tests.support.postgres import running
from tests.unit.conftest import hooks
from tests.unit.contrib.outbox.conftest import first, make_relay, servers, sqlite, sqlite_database

__all__ = (
    "first",
    "hooks",
    "make_relay",
    "servers",
    "sqlite",
    "sqlite_database",
)


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str, django_db_blocker: Any) -> dict[str, Any]:
    """An empty database of these tests, migrated."""
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        name = f"outbox_{uuid.uuid4().hex}"
        connection.execute(f"CREATE DATABASE {name}")
        info = connection.info
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": info.user,
            "HOST": info.host,
            "PORT": info.port,
        }
    return filled_in(database)


@pytest.fixture
def postgres(postgres_database: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on PostgreSQL."""
    yield from installed(postgres_database, django_db_blocker)


@pytest.fixture
def mariadb(mariadb_url: str, django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on MariaDB."""
    yield from installed(filled_in(environ.Env.db_url_config(mariadb_url)), django_db_blocker)


@pytest.fixture
def mysql(mysql_url: str, django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on MySQL."""
    yield from installed(filled_in(environ.Env.db_url_config(mysql_url)), django_db_blocker)


@pytest.fixture(scope="session")
def tracking_database() -> Iterator[dict[str, Any]]:
    """A database of a server of its own: the setting needs a restart."""
    with running() as server:
        with closing(psycopg.connect(server.url, autocommit=True)) as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
            info = connection.info
            database = {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": info.dbname,
                "USER": info.user,
                "HOST": info.host,
                "PORT": info.port,
            }
        server.stop()
        server.start()
        yield filled_in(database)


@pytest.fixture
def tracking(tracking_database: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on a PostgreSQL that keeps the time of each commit."""
    yield from installed(tracking_database, django_db_blocker)


@pytest.fixture(params=["sqlite", "postgres", "mariadb", "mysql"])
def database(request: pytest.FixtureRequest) -> str:
    """The outbox is on each kind of database in turn."""
    request.getfixturevalue(request.param)
    kind: str = request.param
    return kind


@pytest.fixture(params=["postgres", "mariadb", "mysql"])
def shared(request: pytest.FixtureRequest) -> str:
    """The outbox is on a database server, which several relays share."""
    request.getfixturevalue(request.param)
    kind: str = request.param
    return kind


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
