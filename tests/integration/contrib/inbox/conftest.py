"""Databases with the tables of inbox and outbox, beside the project's own, of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import django
import environ
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

from rele.contrib.inbox.models import InboxMessage
from rele.contrib.outbox.models import OutboxMessage
from testproject.activity.models import Activity

NAME = "rele_inbox"

APPS = ("rele_inbox", "rele_outbox", "activity")


@pytest.fixture(scope="module")
def sqlite_database(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'inbox.sqlite3'}"
    with django_db_blocker.unblock(), _installed("sqlite", url) as alias:
        yield alias


@pytest.fixture(scope="module")
def immediate_database(
    tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[str]:
    """SQLite in the mode in which a transaction waits for the lock when it begins."""
    url = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'inbox.sqlite3'}"
    options = {"transaction_mode": "IMMEDIATE"}
    with django_db_blocker.unblock(), _installed("immediate", url, options) as alias:
        yield alias


@pytest.fixture(scope="module")
def postgres_database(postgres_url: str, django_db_blocker: Any) -> Iterator[str]:
    url = f"{postgres_url.rpartition('/')[0]}/{NAME}"
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {NAME}")
        with django_db_blocker.unblock(), _installed("postgres", url) as alias:
            yield alias
        connection.execute(f"DROP DATABASE {NAME}")


@pytest.fixture(scope="module")
def mariadb_database(mariadb_url: str, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock(), _installed("mariadb", mariadb_url) as alias:
        yield alias
        _remove_tables(alias)


@pytest.fixture(scope="module")
def mysql_database(mysql_url: str, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock(), _installed("mysql", mysql_url) as alias:
        yield alias
        _remove_tables(alias)


def _remove_tables(alias: str) -> None:
    """Tests of other modules have the same database."""
    for app in APPS:
        call_command("migrate", app, "zero", database=alias, verbosity=0)


@contextmanager
def _installed(alias: str, url: str, options: dict[str, Any] | None = None) -> Iterator[str]:
    database: dict[str, Any] = {**environ.Env.db_url_config(url), "OPTIONS": options or {}}
    if database["ENGINE"].endswith("mysql"):
        # Django 4.2 would use a character set of at most three bytes for each.
        database["OPTIONS"] = {"charset": "utf8mb4", **database["OPTIONS"]}
    databases = connections.configure_settings({"default": {}, alias: database})
    connections.settings[alias] = databases[alias]
    for app in APPS:
        call_command("migrate", app, database=alias, verbosity=0)
    yield alias
    connections[alias].close()
    del connections[alias], connections.settings[alias]


IMMEDIATE = pytest.param(
    "immediate",
    marks=pytest.mark.skipif(django.VERSION < (5, 1), reason="the mode is one of Django 5.1"),
)


@pytest.fixture(params=["sqlite", IMMEDIATE, "postgres", "mariadb", "mysql"])
def alias(request: pytest.FixtureRequest) -> Iterator[str]:
    """The alias of a database with empty tables."""
    alias = request.getfixturevalue(f"{request.param}_database")
    yield alias
    _empty(alias)


@pytest.fixture
def postgres(postgres_database: str) -> Iterator[str]:
    """The same of PostgreSQL alone."""
    yield postgres_database
    _empty(postgres_database)


@pytest.fixture
def mariadb(mariadb_database: str) -> Iterator[str]:
    """The same of MariaDB alone."""
    yield mariadb_database
    _empty(mariadb_database)


def _empty(alias: str) -> None:
    for model in (InboxMessage, Activity, OutboxMessage):
        model.objects.using(alias).all().delete()
    connections[alias].close()  # the next test may change how one connects
