from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from rele.contrib.inbox import purging
from rele.contrib.inbox.models import InboxMessage

pytestmark = pytest.mark.django_db

Output = Any


@pytest.fixture
def handle() -> Any:
    """Note messages that were handled so many days ago."""

    def handle(*days: float, subscription: str = "orders") -> None:
        now = datetime.now(timezone.utc)
        InboxMessage.objects.bulk_create(
            InboxMessage(
                subscription=subscription,
                event_id=str(number),
                handled_at=now - timedelta(days=ago),
            )
            for number, ago in enumerate(days)
        )

    return handle


def ages() -> list[int]:
    """In days, of what is left."""
    now = datetime.now(timezone.utc)
    return sorted((now - message.handled_at).days for message in InboxMessage.objects.all())


def inbox(capsys: Output, *arguments: str) -> str:
    call_command("rele", "inbox", *arguments)
    output: str = capsys.readouterr().out
    return output


class TestCounts:
    def test_are_of_each_subscription(self, capsys: Output) -> None:
        for event, subscription, day in [("a", "orders", 3), ("b", "orders", 2), ("c", "m", 4)]:
            InboxMessage.objects.create(
                subscription=subscription,
                event_id=event,
                handled_at=datetime(2026, 3, day, 12, tzinfo=timezone.utc),
            )

        assert inbox(capsys).splitlines() == [
            "Subscription  Messages  Oldest",
            "m                    1  2026-03-04 12:00:00+0000",
            "orders               2  2026-03-02 12:00:00+0000",
        ]

    def test_of_nothing(self, capsys: Output) -> None:
        assert inbox(capsys) == "The inbox is empty.\n"


class TestPurge:
    def test_deletes_what_is_older_than_a_week(self, handle: Any, capsys: Output) -> None:
        handle(0, 6.9, 7.1, 30)

        assert inbox(capsys, "--purge") == "2 message(s) deleted.\n"

        assert ages() == [0, 6]

    def test_deletes_what_is_older_than_so_many_days(self, handle: Any, capsys: Output) -> None:
        handle(0, 9.9, 10.1)

        inbox(capsys, "--purge", "--older-than", "10")

        assert ages() == [0, 9]

    def test_refuses_what_pubsub_may_deliver_again(self, handle: Any, capsys: Output) -> None:
        handle(6.5)

        with pytest.raises(CommandError, match=r"keeps messages for 7 days.*--force"):
            inbox(capsys, "--purge", "--older-than", "6")

        assert ages() == [6]

    def test_deletes_it_where_it_is_forced_to(self, handle: Any, capsys: Output) -> None:
        handle(0.5, 6.5)

        inbox(capsys, "--purge", "--older-than", "6", "--force")

        assert ages() == [0]

    @pytest.mark.parametrize("days", ["-1", "soon"])
    def test_says_what_days_are(self, days: str, capsys: Output) -> None:
        with pytest.raises(
            CommandError, match=r"is not a whole number of days|is too small: the least is 0"
        ):
            inbox(capsys, "--purge", f"--older-than={days}")

    def test_goes_by_chunks(
        self, handle: Any, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(purging, "CHUNK", 3)
        handle(*[8, 1] * 7)
        old = purging.handled_before("default", datetime.now(timezone.utc) - timedelta(days=7))

        assert list(purging.delete_in_chunks(old)) == [3, 3, 1]

        assert ages() == [1] * 7

    def test_of_a_database_that_there_is_not(self, capsys: Output) -> None:
        with pytest.raises(CommandError, match="invalid choice: 'other'"):
            inbox(capsys, "--database", "other")


@pytest.mark.parametrize("arguments", [[], ["--purge"]], ids=["counts", "a purge"])
def test_a_missing_table_is_one_line_with_the_remedy(arguments: list[str], capsys: Output) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rele_inbox_inboxmessage RENAME TO elsewhere")

    with pytest.raises(CommandError) as raised:
        inbox(capsys, *arguments)

    assert str(raised.value) == (
        "The inbox cannot be used: no such table: rele_inbox_inboxmessage. Its table is missing: "
        "run `manage.py migrate`."
    )
