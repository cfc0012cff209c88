"""DjangoDBMiddleware in a real worker: connections as SQLite and PostgreSQL see them."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest

import rele
from tests.support.project import Project, read_until

NAME_OF_THE_WORKER = "rele-worker"

SETTINGS = """
    SECRET_KEY = "for tests"
    USE_TZ = True
    INSTALLED_APPS = ["rele", "shop"]
    DATABASES = {{"default": {database!r}}}
    RELE = {{
        "GC_PROJECT_ID": {project_id!r},
        "MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"],
        "THREADS_PER_SUBSCRIPTION": 8,
    }}
"""

SUBS = """
    from django.db import connection

    from rele import sub
    from rele.retry_policy import RetryPolicy

    @sub(topic="orders", retry_policy=RetryPolicy(1, 1))
    def write(data, **attributes):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (id) VALUES (%s)", [data])
"""


ASYNC_SUBS = """
    from asgiref.sync import sync_to_async
    from django.db import connection

    from rele import sub
    from rele.retry_policy import RetryPolicy

    def insert(data):
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (id) VALUES (%s)", [data])

    @sub(topic="orders", retry_policy=RetryPolicy(1, 1))
    async def write(data, **attributes):
        await sync_to_async(insert)(data)
"""


class Database(ABC):
    """A database with a table ``orders``, looked at beside Django."""

    def __init__(self, settings: dict[str, Any], connect: Callable[[], Any]) -> None:
        self.settings = settings
        self._connect = connect
        self.execute("CREATE TABLE orders (id integer)")

    def execute(self, statement: str) -> list[Any]:
        with closing(self._connect()) as connection:
            cursor = connection.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return rows

    def orders(self) -> list[int]:
        return [row[0] for row in self.execute("SELECT id FROM orders ORDER BY id")]

    @abstractmethod
    def open_connections(self, worker: subprocess.Popen[str]) -> list[Any]:
        """Those that the worker holds now."""


class Sqlite(Database):
    def __init__(self, folder: Path) -> None:
        self._file = folder / "shop.sqlite3"
        settings = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(self._file),
            "OPTIONS": {"timeout": 30},
        }
        super().__init__(settings, lambda: sqlite3.connect(self._file))

    def open_connections(self, worker: subprocess.Popen[str]) -> list[Any]:
        files = [path.readlink() for path in Path(f"/proc/{worker.pid}/fd").iterdir()]
        return [file for file in files if file == self._file]


class Postgres(Database):
    def __init__(self, url: str) -> None:
        with closing(psycopg.connect(url)) as connection:
            info = connection.info
            settings = {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": info.dbname,
                "USER": info.user,
                "HOST": info.host,
                "PORT": info.port,
                "OPTIONS": {"application_name": NAME_OF_THE_WORKER},
            }
            connection.execute("DROP TABLE IF EXISTS orders")
            connection.commit()
        super().__init__(settings, lambda: psycopg.connect(url))

    def open_connections(self, worker: subprocess.Popen[str]) -> list[Any]:
        return self.execute(
            "SELECT pid FROM pg_stat_activity "
            f"WHERE application_name = '{NAME_OF_THE_WORKER}' ORDER BY pid"
        )

    def terminate_connections(self) -> None:
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = '{NAME_OF_THE_WORKER}'"
        )


@pytest.fixture
def postgres(postgres_url: str) -> Postgres:
    return Postgres(postgres_url)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Sqlite(tmp_path)
    return Postgres(request.getfixturevalue("postgres_url"))


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Start the worker of a Django project on a database; messages can be published to it."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    project.write("shop/__init__.py", "")
    project.write("shop/subs.py", SUBS)

    def start(database: Database, **settings: Any) -> subprocess.Popen[str]:
        values = {**database.settings, **settings}
        project.write(
            "settings.py", SETTINGS.format(database=values, project_id=project.project_id)
        )
        project.environment["DJANGO_SETTINGS_MODULE"] = "settings"
        worker = project.start("-m", "django", "runrele")
        read_until(worker.stdout, "Pulling messages")
        rele.setup({"GC_PROJECT_ID": project.project_id, "MIDDLEWARE": []})
        return worker

    return start


def wait_until(is_true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # the database notifies nobody


def publish(numbers: range) -> None:
    for number in numbers:
        rele.publish("orders", number)
    assert rele.publishing.flush(20)


def test_500_messages_over_8_threads_leave_no_connection_open(
    shop: Callable[..., Any], database: Database
) -> None:
    worker = shop(database)

    publish(range(500))

    wait_until(lambda: len(set(database.orders())) == 500)
    wait_until(lambda: database.open_connections(worker) == [])


def test_500_messages_of_an_async_handler_leave_no_connection_open(
    shop: Callable[..., Any], project: Project, database: Database
) -> None:
    project.write("shop/subs.py", ASYNC_SUBS)
    worker = shop(database)

    publish(range(500))

    wait_until(lambda: len(set(database.orders())) == 500)
    wait_until(lambda: database.open_connections(worker) == [])


def test_the_connections_of_an_async_handler_are_used_again(
    shop: Callable[..., Any], project: Project, postgres: Postgres
) -> None:
    project.write("shop/subs.py", ASYNC_SUBS)
    worker = shop(postgres, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)

    publish(range(200))

    wait_until(lambda: len(set(postgres.orders())) == 200)
    # Of 8 messages at a time; a thread that has just ended one may be replaced by another.
    assert 1 <= len(postgres.open_connections(worker)) <= 16


@pytest.mark.parametrize("health_checks", [True, False])
def test_a_connection_that_the_server_closed_is_replaced(
    shop: Callable[..., Any], postgres: Postgres, health_checks: bool
) -> None:
    worker = shop(postgres, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=health_checks)
    publish(range(50))
    wait_until(lambda: len(set(postgres.orders())) == 50)
    before = postgres.open_connections(worker)
    assert before

    postgres.terminate_connections()
    publish(range(50, 100))

    wait_until(lambda: len(set(postgres.orders())) == 100)
    assert not set(before) & set(postgres.open_connections(worker))


@pytest.mark.skipif(django.VERSION < (5, 1), reason="server-side pools came with Django 5.1")
def test_a_server_side_pool_works(shop: Callable[..., Any], postgres: Postgres) -> None:
    options = {**postgres.settings["OPTIONS"], "pool": {"min_size": 1, "max_size": 4}}
    worker = shop(postgres, OPTIONS=options)

    publish(range(500))

    wait_until(lambda: len(set(postgres.orders())) == 500)
    wait_until(lambda: len(postgres.open_connections(worker)) <= 4)
