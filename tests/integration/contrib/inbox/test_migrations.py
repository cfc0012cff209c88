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


def constraints(alias: str) -> set[str]:
    """Those that a row must meet beside its primary key."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, InboxMessage._meta.db_table)
    return {name for name, each in found.items() if each["unique"] and not each["primary_key"]}
