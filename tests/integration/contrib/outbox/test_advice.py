"""The statements that the page on transactions advises for PostgreSQL, pasted as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections

import rele
from rele.contrib.outbox.contents import contents_of
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.support.outbox import ALIAS, FakePubSub, filled_in, installed
from tests.support.readme import REPOSITORY, blocks_of

PAGE = (REPOSITORY / "docs" / "transactions.rst").read_text(encoding="utf-8")

VACUUM, PARTITIONS = (code for _, language, code in blocks_of(PAGE) if language == "sql")


@pytest.fixture
def own_database(postgres_url: str, django_db_blocker: Any) -> Iterator[None]:
    """A database that no other test uses, since its tables are changed."""
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute("CREATE DATABASE advice")
        info = connection.info
        database = {"USER": info.user, "HOST": info.host, "PORT": info.port, "NAME": "advice"}
    engine = {"ENGINE": "django.db.backends.postgresql", **database}
    yield from installed(filled_in(engine), django_db_blocker)
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute("DROP DATABASE advice WITH (FORCE)")


def paste(statements: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statements)


def query(sql: str) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@pytest.mark.usefixtures("own_database")
def test_the_tables_can_be_vacuumed_by_number_and_divided(
    make_relay: Callable[..., OutboxRelay], servers: FakePubSub
) -> None:
    call_command("migrate", "rele_inbox", database=ALIAS, verbosity=0)
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'rele_outbox_outboxmessage'"
    before = sorted(query(indexes))
    rele.publish_many("orders", [(number, {"ordering_key": "a"}) for number in (1, 2)])
    OutboxMessage.objects.using(ALIAS).create(
        event_id="1", topic="orders", data=b"sent", state=State.SENT
    )

    paste(VACUUM)
    paste(PARTITIONS)

    assert sorted(query(indexes)) == before
    rele.publish("orders", 3, ordering_key="a")
    assert contents_of(ALIAS).number_of(State.WAITING) == 3
    tables = "SELECT tableoid::regclass::text, count(*) FROM rele_outbox_outboxmessage"
    where = [("rele_outbox_first", 3), ("rele_outbox_from_4", 1)]
    assert query(f"{tables} GROUP BY 1 ORDER BY 1") == where
    assert make_relay(keep_sent=True).run_once() == Tally(3, 0)
    assert servers.data == ["1", "2", "3"]
    assert query("SELECT count(*) FROM rele_outbox_first WHERE state <> 1") == [(0,)]
    paste("DROP TABLE rele_outbox_first")
    rele.publish("orders", 4)
    assert make_relay().run_once() == Tally(1, 0)
    call_command("migrate", "rele_outbox", database=ALIAS, verbosity=0)
