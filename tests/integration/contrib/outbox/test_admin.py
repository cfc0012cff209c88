"""What the admin's pages of an outbox cost on PostgreSQL, with much in it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from copy import copy
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from rele.contrib.outbox.models import OutboxMessage, State
from rele.management import admin as management_admin
from tests.support import admin_project
from tests.support.admin_project import content, installed, logged_in
from tests.support.outbox import ALIAS
from tests.support.plans import fill, rows_read

MESSAGES = "/admin/rele_outbox/outboxmessage/"

LARGEST = 9_900_000
"""Bytes; Pub/Sub takes 10 MB, attributes included."""


@pytest.fixture
def admin(postgres_database: dict[str, Any], django_db_blocker: Any) -> Iterator[Client]:
    with installed({ALIAS: postgres_database}, django_db_blocker):
        admin_project.migrate()
        from django.contrib.auth.models import User

        try:
            yield logged_in(everything=True)
        finally:
            User.objects.all().delete()
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("TRUNCATE rele_outbox_outboxmessage")


def test_pages_and_actions_do_not_load_large_payloads(admin: Client) -> None:
    small = OutboxMessage(event_id="1", topic="orders", data=b"x", state=State.PARKED)
    OutboxMessage.objects.bulk_create(copy(small) for _ in range(60))
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "UPDATE rele_outbox_outboxmessage SET data = convert_to(repeat('x', %s), 'UTF8')",
            [LARGEST],
        )
    ids = list(OutboxMessage.objects.values_list("pk", flat=True))
    content(admin, "/admin/")  # what is loaded once
    tracemalloc.start()

    listed = content(admin, MESSAGES)
    shown = content(admin, f"{MESSAGES}{ids[0]}/change/")
    admin_project.act(admin, MESSAGES, "retry_messages", ids)
    asked = admin_project.act(admin, MESSAGES, "discard_messages", ids)
    answer = {"confirmed": ",".join(map(str, ids)), "select_across": "1"}
    admin_project.act(admin, MESSAGES, "discard_messages", ids, **answer)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listed.count("/change/") == 50
    assert "… (9,900,000 bytes in all)" in shown
    assert "60 messages will be deleted" in asked
    assert not OutboxMessage.objects.exists()
    assert peak < LARGEST, "not even one of the payloads"


@pytest.mark.parametrize(
    ("size", "listed"), [(20_000, 200), pytest.param(1_000_000, 10_000, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?state__exact=0",
        "?state__exact=2",
        "?age=minute",
        "?age=hour",
        "?p=2",
        "?topic=topic-3",
    ],
)
def test_a_list_of_many_reads_few(
    admin: Client, query: str, size: int, listed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management_admin, "LISTED", listed)
    with connections[ALIAS].cursor() as cursor:
        fill(cursor, State.WAITING, size)

    with CaptureQueriesContext(connections[ALIAS]) as queries:
        began = time.monotonic()
        page = content(admin, f"{MESSAGES}{query}")
        took = time.monotonic() - began

    assert ("there are more" in page) == (query != "?state__exact=2")
    assert took < 5, "on a quiet machine it takes 0.3 s"
    # The topics of the filter, the count, the page itself and the search for an age; to count
    # those of one topic, as many of each of the twenty are read.
    each = 20 if "topic" in query else 1
    assert rows_read(ALIAS, queries) <= (2 + each) * (listed + 1) + 2_000
