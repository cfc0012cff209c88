"""From the table of before to that of the model, with its rows."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections, models
from django.db.migrations.loader import MigrationLoader

from rele.contrib.inbox.models import InboxMessage
from tests.integration.contrib.inbox.test_idempotent import EVENT, deliver, texts, writer

FORMER_CONSTRAINT = models.UniqueConstraint(
    fields=["subscription", "event_id"], name="rele_inbox_once"
)


@pytest.mark.parametrize("alias", ["sqlite", "postgres"], indirect=True)
def test_rows_of_before_are_known(alias: str) -> None:
    call_command("migrate", "rele_inbox", "0001", database=alias, verbosity=0)
    state = MigrationLoader(None).project_state(("rele_inbox", "0001_initial"))
    state.models["rele_inbox", "inboxmessage"].options["constraints"] = [FORMER_CONSTRAINT]
    former = state.apps.get_model("rele_inbox", "InboxMessage")
    with connections[alias].schema_editor() as editor:
        editor.delete_model(former)
        editor.create_model(former)
    former.objects.using(alias).create(subscription="orders", event_id=EVENT)

    call_command("migrate", "rele_inbox", database=alias, verbosity=0)

    assert deliver(writer(alias), "again", event_id=EVENT).acked
    assert deliver(writer(alias), "first", event_id=EVENT.upper()).acked
    assert texts(alias) == ["first"]
    assert constraints(alias) == {"rele_inbox_digest"}


ALIKE = ("A", "a", "a ", "á")
"""What the default collations of MySQL and MariaDB take for equal."""


def test_what_is_alike_is_told_apart(alias: str) -> None:
    for event_id in ALIKE:
        assert deliver(writer(alias), event_id, event_id=event_id).acked
        InboxMessage.objects.using(alias).create(subscription=event_id, event_id="1")

    assert texts(alias) == list(ALIKE)
    for text in ALIKE:
        assert InboxMessage.objects.using(alias).get(event_id=text).event_id == text
        assert InboxMessage.objects.using(alias).get(subscription=text).subscription == text


def test_migrates_backwards_and_forwards(alias: str) -> None:
    InboxMessage.objects.using(alias).create(subscription="orders", event_id=EVENT)
    for name in ("0001", "zero"):
        call_command("migrate", "rele_inbox", name, database=alias, verbosity=0)
    call_command("migrate", "rele_inbox", database=alias, verbosity=0)

    assert not InboxMessage.objects.using(alias).exists()
    assert constraints(alias) == {"rele_inbox_digest"}


def constraints(alias: str) -> set[str]:
    """Those that a row must meet beside its primary key."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, InboxMessage._meta.db_table)
    return {name for name, each in found.items() if each["unique"] and not each["primary_key"]}
