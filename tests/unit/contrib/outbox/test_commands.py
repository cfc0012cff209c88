from __future__ import annotations

import json
import signal
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

import rele
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from tests.unit.contrib.outbox.conftest import ALIAS, REFUSED, Servers, waiting

pytestmark = pytest.mark.usefixtures("sqlite")

Output = Any


class Recording(Servers):
    """What the relay of the command sends through."""

    last: Servers

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        Recording.last = self


class Refusing(Servers):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.errors = {str(number): REFUSED for number in range(10)}


@pytest.fixture(autouse=True)
def _settings(sqlite: None) -> None:
    set_up(Recording)


def set_up(backend: type[Servers], **outbox: Any) -> None:
    rele.setup(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "MIDDLEWARE": [],
            "OUTBOX": {"USING": ALIAS, "BACKEND": f"{__name__}.{backend.__name__}", **outbox},
        }
    )


def age(days: float, *data: int) -> None:
    """Let messages have been written so long ago."""
    messages = OutboxMessage.objects.using(ALIAS).filter(data__in=[b"%d" % each for each in data])
    messages.update(created_at=timezone.now() - timedelta(days=days))


class TestRelay:
    def test_once_sends_what_is_due_and_ends(self, capsys: Output) -> None:
        rele.publish_many("orders", range(3))
        before = signal.getsignal(signal.SIGTERM)

        call_command("rele", "relay", "--once", "--batch-size", "2")

        assert Recording.last.requests == [["0", "1"], ["2"]]
        assert capsys.readouterr().out == "3 message(s) sent.\n"
        assert signal.getsignal(signal.SIGTERM) is before

    def test_once_says_what_failed(self, capsys: Output) -> None:
        set_up(Refusing)
        rele.publish_many("orders", range(2))

        call_command("rele", "relay", "--once")

        assert capsys.readouterr().out == (
            "0 message(s) sent.\n2 attempt(s) failed: see `manage.py rele outbox` and the log.\n"
        )

    @pytest.mark.parametrize("size", ["0", "-1", "many"])
    def test_a_batch_has_at_least_one_message(self, size: str) -> None:
        with pytest.raises(
            CommandError, match=r"is not a whole number|is too small: the least is 1"
        ):
            call_command("rele", "relay", "--batch-size", size)


class TestOutbox:
    def test_shows_how_many_there_are_of_each_state_and_topic(self, capsys: Output) -> None:
        rele.publish_many("orders", range(3))
        rele.publish("photos", 9)
        age(2, 0, 1)
        OutboxMessage.objects.using(ALIAS).filter(data=b"1").update(state=State.PARKED)
        Relay.objects.using(ALIAS).create(name="web-1:7")

        call_command("rele", "outbox")

        assert capsys.readouterr().out.splitlines() == [
            "State    Topic   Messages  Oldest",
            "-------  ------  --------  ------",
            "waiting  orders         2     2 d",
            "waiting  photos         1   0.0 s",
            "parked   orders         1     2 d",
            "",
            "Relays at work: web-1:7",
        ]

    def test_says_that_there_is_nothing_and_no_relay(self, capsys: Output) -> None:
        call_command("rele", "outbox")

        assert capsys.readouterr().out == (
            "The outbox is empty.\n\n"
            "No relay is at work: run `manage.py rele relay`, or `manage.py runrele --relay`.\n"
        )

    def test_as_json(self, capsys: Output) -> None:
        rele.publish("orders", 1)
        age(1, 1)

        call_command("rele", "outbox", "--format", "json")

        content = json.loads(capsys.readouterr().out)
        [row] = content.pop("messages")
        assert 86_400 <= row.pop("oldest_seconds") < 86_460
        assert row == {"state": "waiting", "topic": "orders", "messages": 1}
        assert content == {"relays": []}

    def test_shows_one_topic(self, capsys: Output) -> None:
        rele.publish("orders", 1)
        rele.publish("photos", 2)

        call_command("rele", "outbox", "--topic", "photos")

        output = capsys.readouterr().out
        assert "photos" in output
        assert "orders" not in output

    def test_lets_parked_messages_be_tried_again(self, capsys: Output) -> None:
        rele.publish_many("orders", [1, 2])
        rele.publish("photos", 3)
        OutboxMessage.objects.using(ALIAS).exclude(data=b"1").update(
            state=State.PARKED, attempts=20
        )

        call_command("rele", "outbox", "--retry", "--topic", "orders")

        assert capsys.readouterr().out == "1 message(s) are tried again.\n"
        assert [(row.state, row.attempts) for row in waiting()] == [
            (State.WAITING, 0),
            (State.WAITING, 0),
            (State.PARKED, 20),
        ]
        call_command("rele", "outbox", "--retry")
        assert {row.state for row in waiting()} == {State.WAITING}

    @pytest.mark.parametrize(
        ("options", "left"),
        [
            (["--older-than", "7"], [2, 3, 4, 5]),
            (["--older-than", "0"], [3, 4, 5]),
            (["--older-than", "0.5", "--parked"], [1, 2, 4, 5]),
            (["--older-than", "7", "--topic", "photos"], [1, 2, 3, 4, 5]),
        ],
    )
    def test_deletes_what_is_sent_or_parked_and_old(
        self, options: list[str], left: list[int], capsys: Output
    ) -> None:
        rele.publish_many("orders", range(1, 6))
        age(8, 1, 3, 5)
        messages = OutboxMessage.objects.using(ALIAS)
        messages.filter(data__in=[b"1", b"2"]).update(state=State.SENT)
        messages.filter(data__in=[b"3", b"4"]).update(state=State.PARKED)

        call_command("rele", "outbox", "--purge", *options)

        assert [int(bytes(row.data)) for row in waiting()] == left
        state = "parked" if "--parked" in options else "sent"
        output = capsys.readouterr()
        assert output.out == f"{5 - len(left)} {state} message(s) deleted.\n"
        assert output.err == "", "a progress bar is for terminals"

    def test_deletes_nothing_without_an_age(self) -> None:
        with pytest.raises(CommandError, match="--purge needs --older-than DAYS"):
            call_command("rele", "outbox", "--purge")

    @pytest.mark.parametrize("days", ["-1", "nan", "old", "1e300"])
    def test_an_age_is_a_number_of_days(self, days: str) -> None:
        with pytest.raises(
            CommandError,
            match=r"is not a number of days|is too (small: the least|large: the most) is",
        ):
            call_command("rele", "outbox", "--purge", "--older-than", days)


@pytest.mark.parametrize("command", [["outbox"], ["relay", "--once"], ["relay"]])
def test_a_database_without_the_tables_is_one_message(command: list[str]) -> None:
    with connections[ALIAS].schema_editor() as editor:
        editor.delete_model(OutboxMessage)
        editor.delete_model(Relay)

    with pytest.raises(
        CommandError, match=r"The outbox cannot be used: no such table: .*`manage.py migrate`"
    ):
        call_command("rele", *command)
