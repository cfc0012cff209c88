"""The tables of the outbox on each kind of database, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.models import Count

from rele.contrib.outbox.models import OutboxMessage, State
from tests.support.outbox import ALIAS

APP = "rele_outbox"

ALIKE = ("A", "a", "a ", "á")
"""What the default collations of MySQL and MariaDB take for equal."""


@pytest.fixture(autouse=True)
def _restored(database: str) -> Iterator[None]:
    """Other tests have the same tables."""
    yield
    call_command("migrate", APP, database=ALIAS, verbosity=0)


def test_keeps_the_messages_that_an_older_version_has_written() -> None:
    call_command("migrate", APP, "0001", database=ALIAS, verbosity=0)
    former = (
        MigrationLoader(None)
        .project_state((APP, "0001_initial"))
        .apps.get_model(APP, "OutboxMessage")
    )
    former.objects.using(ALIAS).create(
        event_id="1", topic="orders", data=b"1", attributes={"a": "á"}, ordering_key="k" * 1024
    )

    call_command("migrate", APP, database=ALIAS, verbosity=0)

    message = OutboxMessage.objects.using(ALIAS).get()
    assert (message.event_id, message.topic, bytes(message.data)) == ("1", "orders", b"1")
    assert (message.attributes, message.ordering_key) == ({"a": "á"}, "k" * 1024)
    assert (message.state, message.lane, message.shard) == (State.WAITING, None, None)


def test_migrates_backwards_and_forwards() -> None:
    OutboxMessage.objects.using(ALIAS).create(event_id="1", topic="orders", data=b"1")
    call_command("migrate", APP, "0001", database=ALIAS, verbosity=0)
    call_command("migrate", APP, "zero", database=ALIAS, verbosity=0)
    call_command("migrate", APP, database=ALIAS, verbosity=0)

    assert not OutboxMessage.objects.using(ALIAS).exists()


def test_what_is_alike_is_told_apart() -> None:
    messages = OutboxMessage.objects.using(ALIAS)
    for text in ALIKE:
        messages.create(event_id=text, topic=text, ordering_key=text, data=b"1")

    for field in ("event_id", "topic", "ordering_key"):
        for text in ALIKE:
            assert getattr(messages.get(**{field: text}), field) == text
        counts = messages.order_by().values_list(field).annotate(Count("id"))
        assert sorted(counts) == sorted((text, 1) for text in ALIKE)


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_on_mariadb_what_waits_is_found_without_what_was_sent() -> None:
    messages = OutboxMessage.objects.using(ALIAS)
    states = [State.SENT] * 5_000 + [State.WAITING] * 100
    messages.bulk_create(OutboxMessage(topic="orders", data=b"1", state=each) for each in states)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("ANALYZE TABLE rele_outbox_outboxmessage")

    found = messages.filter(id__gt=0, state=State.WAITING).order_by("id").values("id", "topic")

    assert " rele_outbox_waiting " in found[:50].explain()
