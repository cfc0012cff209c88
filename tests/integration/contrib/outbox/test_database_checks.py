"""What ``manage.py check --database`` says of the servers of the outbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import environ
import psycopg
import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connections

import rele
from tests.support import postgres
from tests.support.outbox import ALIAS, filled_in, installed


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> None:
    settings.RELE = {"OUTBOX": {"USING": ALIAS}}


def check(*databases: str) -> list[CheckMessage]:
    """What is said of the outbox, among the checks of databases."""
    django_settings: Any = connections.settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.DATABASES", django_settings)
        messages = run_checks(databases=databases)
    return [each for each in messages if each.id in ("rele.E013", "rele.W013")]


@pytest.mark.usefixtures("postgres")
class TestCommitTimestamps:
    def test_w013_ordering_keys_where_they_are_off(self) -> None:
        rele.publish("orders", 1, ordering_key="a")

        [message] = check(ALIAS)

        assert message.id == "rele.W013"
        assert "Set track_commit_timestamp = on" in str(message.hint)

    def test_nobody_asks_for_them_without_ordering_keys(self) -> None:
        rele.publish("orders", 1)

        assert check(ALIAS) == []

    def test_a_database_that_is_not_named_is_not_asked(self) -> None:
        rele.publish("orders", 1, ordering_key="a")

        assert check() == []
        assert check("default") == []


@pytest.fixture
def with_commit_timestamps(django_db_blocker: Any) -> Iterator[None]:
    with postgres.running() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        server.stop()
        server.start()
        database = filled_in(environ.Env.db_url_config(server.url))
        yield from installed(database, django_db_blocker)


@pytest.mark.usefixtures("with_commit_timestamps")
def test_ordering_keys_are_right_where_commits_have_timestamps() -> None:
    rele.publish("orders", 1, ordering_key="a")

    assert check(ALIAS) == []


@pytest.fixture
def uncommitted(mariadb: None) -> Iterator[None]:
    """MariaDB has READ UNCOMMITTED where Django states no level."""
    connections.settings[ALIAS]["OPTIONS"]["isolation_level"] = None
    connections[ALIAS].close()
    del connections[ALIAS]
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT @@global.tx_isolation")
        [before] = cursor.fetchone()
        cursor.execute("SET GLOBAL tx_isolation = 'READ-UNCOMMITTED'")
        connections[ALIAS].close()
    yield
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET GLOBAL tx_isolation = %s", [before])


@pytest.mark.usefixtures("uncommitted")
def test_e013_a_server_that_shows_what_is_not_committed() -> None:
    assert [message.id for message in check(ALIAS)] == ["rele.E013"]


@pytest.mark.usefixtures("mariadb")
def test_the_level_that_django_sets_is_right() -> None:
    assert check(ALIAS) == []
