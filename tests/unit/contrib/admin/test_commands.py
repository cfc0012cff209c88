"""`manage.py rele pause`, `resume` and `threads`, and what workers read of them."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from rele.config import Config
from rele.contrib.admin import controls
from rele.contrib.admin.exceptions import PageError
from rele.contrib.admin.models import Note, Subscription
from rele.status.controls import SubscriptionControl
from tests.support.outbox import ALIAS
from tests.support.rele_admin import SUBSCRIPTION

pytestmark = pytest.mark.usefixtures("project")

OTHER = "gallery-photo-processed-activity"


def run(capsys: Any, *arguments: str) -> str:
    call_command("rele", *arguments)
    return str(capsys.readouterr().out)


def read() -> dict[str, SubscriptionControl]:
    return dict(controls.reader(Config({}))())


def test_workers_read_what_the_commands_decide(capsys: Any) -> None:
    assert read() == {}

    said = run(capsys, "pause", SUBSCRIPTION, OTHER)

    assert said.splitlines() == [
        f"Workers pause {SUBSCRIPTION} within 5 s.",
        f"Workers pause {OTHER} within 5 s.",
    ]
    assert read() == dict.fromkeys((SUBSCRIPTION, OTHER), SubscriptionControl(True))

    assert f"Workers resume {OTHER} within 5 s." in run(capsys, "resume", OTHER)
    said = run(capsys, "threads", SUBSCRIPTION, "7")
    assert f"each worker process handles {SUBSCRIPTION} with 7 thread(s)" in said

    assert read() == {
        SUBSCRIPTION: SubscriptionControl(True, 7),
        OTHER: SubscriptionControl(False),
    }
    assert "as many threads as the code says" in run(capsys, "threads", SUBSCRIPTION, "default")
    assert read()[SUBSCRIPTION] == SubscriptionControl(True)
    assert "@" in Subscription.objects.get(name=SUBSCRIPTION).changed_by
    notes = Note.objects.order_by("id").values_list("subscription", "what")
    assert list(notes) == [
        (SUBSCRIPTION, "Paused."),
        (OTHER, "Paused."),
        (OTHER, "Resumed."),
        (SUBSCRIPTION, "Set its threads to 7 in each process."),
        (SUBSCRIPTION, "Set its threads to what the code says."),
    ]


def test_a_name_that_nobody_declares_changes_nothing(capsys: Any) -> None:
    with pytest.raises(CommandError, match=r"no subscription 'gallery-photo'\. Did you mean"):
        run(capsys, "pause", SUBSCRIPTION, "gallery-photo")

    assert read() == {}


def test_what_the_code_declares_no_more_can_be_resumed(capsys: Any) -> None:
    controls.pause("gallery-old", "ana")

    run(capsys, "resume", "gallery-old")

    assert read() == {"gallery-old": SubscriptionControl(False)}


@pytest.mark.parametrize("threads", ["0", "-1", "x", "10001"])
def test_another_number_of_threads_is_refused(threads: str, capsys: Any) -> None:
    with pytest.raises((CommandError, SystemExit)):
        run(capsys, "threads", SUBSCRIPTION, threads)

    assert read() == {}


def test_reading_keeps_no_connection() -> None:
    read()

    assert connections[ALIAS].connection is None


def test_without_its_table_a_command_says_what_to_do(capsys: Any) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("DROP TABLE rele_admin_subscription")

    with pytest.raises(CommandError, match=r"^The app rele.contrib.admin .*`manage.py migrate`"):
        run(capsys, "pause", SUBSCRIPTION)
    with pytest.raises(PageError, match=r"run `manage\.py migrate`"):
        read()
