"""What a change of a message keeps of its position, on a PostgreSQL that tracks commits."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections, transaction

import rele
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.positions import kept_position, tracks_commits
from rele.contrib.outbox.upkeep import retry
from tests.support.outbox import ALIAS, waiting


def committed_at() -> list[Any]:
    """When each row was last changed, as PostgreSQL knows it."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT pg_xact_commit_timestamp(xmin) FROM rele_outbox_outboxmessage ORDER BY id"
        )
        return [moment for (moment,) in cursor.fetchall()]


@pytest.mark.usefixtures("tracking")
def test_a_retried_message_keeps_the_time_of_its_own_commit() -> None:
    with transaction.atomic(using=ALIAS):
        OutboxMessage.objects.using(ALIAS).create(
            event_id="1", topic="orders", data=b"1", state=State.PARKED, attempts=3
        )
    written = committed_at()

    for _ in range(2):
        assert retry(OutboxMessage.objects.using(ALIAS).all()) == 1
        assert [row.committed_at for row in waiting()] == written
        assert committed_at() > written
        OutboxMessage.objects.using(ALIAS).update(state=State.DELAYED)


@pytest.mark.usefixtures("database")
def test_nothing_is_kept_where_commits_are_not_tracked() -> None:
    rele.publish("orders", 1)

    assert not tracks_commits(ALIAS)
    assert kept_position(False) == {}
    OutboxMessage.objects.using(ALIAS).update(state=State.DELAYED)
    assert retry(OutboxMessage.objects.using(ALIAS).all()) == 1
    assert [row.committed_at for row in waiting()] == [None]
