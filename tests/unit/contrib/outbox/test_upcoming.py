"""``rele outbox --scheduled``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

import rele
from rele.contrib.outbox import upcoming
from tests.support.outbox import ALIAS, waiting

pytestmark = pytest.mark.usefixtures("sqlite")


def lines(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    call_command("rele", "outbox", "--scheduled", *options)
    return capsys.readouterr().out.splitlines()


def test_they_are_listed_with_their_ids_those_first_that_are_due_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rele.publish("orders", 1)
    rele.publish_later("orders", 2, when=timedelta(days=3), event_id="e-2")
    rele.publish_later("mails", 3, when=timedelta(minutes=90, seconds=30), event_id="e-3")
    rele.publish_later("mails", 4, when=timedelta(seconds=-5), event_id="e-4")

    assert lines(capsys) == [
        "Event id  Topic   Due in",
        "--------  ------  ------",
        "e-4       mails      now",
        "e-3       mails      2 h",
        "e-2       orders     3 d",
    ]
    assert [line.split()[0] for line in lines(capsys, "--topic", "orders")[2:]] == ["e-2"]


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    rele.publish_later(
        "orders", 1, when=timedelta(hours=1), event_id="e-1", ordering_key="customer-7"
    )

    shown: dict[str, Any] = json.loads("\n".join(lines(capsys, "--format", "json")))

    [message] = shown["scheduled"]
    assert 3500 < message.pop("due_in_seconds") <= 3600
    assert message == {
        "database": ALIAS,
        "event_id": "e-1",
        "topic": "orders",
        "ordering_key": "customer-7",
        "due": waiting()[0].next_attempt_at.isoformat(),
    }


def test_a_table_has_an_end_and_json_has_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upcoming, "SHOWN", 2)
    for number in range(5):
        rele.publish_later("orders", number, when=timedelta(hours=1))

    *_, empty, more = lines(capsys)
    assert (empty, more) == (
        "",
        "... and 3 more that are scheduled: `--format json` has all of them.",
    )
    assert len(json.loads("\n".join(lines(capsys, "--format", "json")))["scheduled"]) == 5


def test_there_may_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    rele.publish("orders", 1)

    assert lines(capsys) == ["No message is scheduled."]


def test_it_is_one_action_of_several() -> None:
    with pytest.raises(CommandError, match="not allowed with argument"):
        call_command("rele", "outbox", "--scheduled", "--retry")


def test_all_databases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rele.publish_later("orders", 1, when=timedelta(hours=1), event_id="e-1")
    databases = [upcoming.upcoming_of(ALIAS)] * 2

    assert [line.split()[0] for line in upcoming.as_text(databases, upcoming.Style(False))] == [
        "Database",
        "--------",
        ALIAS,
        ALIAS,
    ]
