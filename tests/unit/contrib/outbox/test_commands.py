from __future__ import annotations

import io
import json
import re
import signal
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

import rele
from rele.cli.style import PLAIN, Style
from rele.contrib.outbox import counting, showing
from rele.contrib.outbox.contents import contents_of
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard, State
from rele.contrib.outbox.relaying.relay import Tally
from rele.contrib.outbox.relaying.relays import Relays
from rele.contrib.outbox.showing import SHOWN, as_text
from tests.support.inbox import Inbox
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, waiting

pytestmark = pytest.mark.usefixtures("sqlite")

Output = Any


class Refusing(FakePubSub):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.errors = {str(number): REFUSED for number in range(10)}


@pytest.fixture(autouse=True)
def _settings(sqlite: None) -> None:
    set_up(FakePubSub)


def set_up(backend: type[FakePubSub], **outbox: Any) -> None:
    rele.setup(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "MIDDLEWARE": [],
            "OUTBOX": {
                "USING": ALIAS,
                "BACKEND": f"{backend.__module__}.{backend.__name__}",
                **outbox,
            },
        }
    )


def age(days: float, *data: int) -> None:
    """Let messages have been written so long ago."""
    messages = OutboxMessage.objects.using(ALIAS).filter(data__in=[b"%d" % each for each in data])
    written = timezone.now() - timedelta(days=days)
    messages.update(created_at=written, next_attempt_at=written)


class Lines(io.StringIO):
    """A stream whose lines can be waited for."""

    def __init__(self, lines: Inbox) -> None:
        super().__init__()
        self._lines = lines

    def flush(self) -> None:
        for line in self.getvalue().splitlines():
            self._lines.put(line)
        self.seek(0)
        self.truncate()


def delay(number: int, seconds: float) -> None:
    """Let a message have been refused, and be due in so many seconds."""
    OutboxMessage.objects.using(ALIAS).create(
        event_id=f"e-{number}",
        topic="orders",
        data=b"1",
        state=State.DELAYED,
        attempts=2,
        last_error=f"InvalidArgument: {number}",
        next_attempt_at=timezone.now() + timedelta(seconds=seconds),
    )


def park(*numbers: int) -> None:
    """Let messages have been refused for good."""
    OutboxMessage.objects.using(ALIAS).bulk_create(
        OutboxMessage(
            event_id=f"e-{number}",
            topic="orders",
            data=b"1",
            state=State.PARKED,
            attempts=3,
            last_error=f"NotFound: {number}",
        )
        for number in numbers
    )


def test_publish_says_that_a_relay_sends_the_message(capsys: Output, settings: Any) -> None:
    settings.RELE = {
        "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
        "MIDDLEWARE": [],
        "OUTBOX": {"USING": ALIAS},
    }

    call_command("rele", "publish", "orders", "1")

    [row] = waiting()
    output = capsys.readouterr()
    assert output.out == f"{row.event_id}\n"
    assert output.err == (
        "Stored in the outbox. A relay sends it: `manage.py rele relay` or `manage.py runrele "
        "--relay`.\n"
    )


class TestRelay:
    def test_once_sends_what_is_due_and_ends(self, capsys: Output) -> None:
        rele.publish_many("orders", range(3))
        before = signal.getsignal(signal.SIGTERM)

        call_command("rele", "relay", "--once", "--batch-size", "2")

        assert FakePubSub.last.requests == [["0", "1"], ["2"]]
        assert capsys.readouterr().out == "3 message(s) sent.\n"
        assert signal.getsignal(signal.SIGTERM) is before

    def test_once_says_what_failed(self, capsys: Output) -> None:
        set_up(Refusing)
        rele.publish_many("orders", range(2))

        call_command("rele", "relay", "--once")

        assert capsys.readouterr().out == (
            "0 message(s) sent.\n2 attempt(s) failed: see `manage.py rele outbox` and the log.\n"
        )

    def test_once_names_all_that_are_parked_and_fails_where_it_has_parked_one(
        self, capsys: Output
    ) -> None:
        park(7)
        set_up(Refusing, MAX_ATTEMPTS=1)
        event_id = rele.publish("orders", 1).result(0)

        with pytest.raises(SystemExit) as exit_:
            call_command("rele", "relay", "--once")

        assert exit_.value.code == 1
        assert capsys.readouterr().out.splitlines()[2:] == [
            "2 message(s) are parked; `manage.py rele outbox --retry` retries them:",
            "  orders e-7, 3 attempt(s): NotFound: 7",
            f"  orders {event_id}, 1 attempt(s): InvalidArgument: 400 refused",
        ]

        call_command("rele", "relay", "--once")  # which has parked none, and does not fail

        assert "2 message(s) are parked" in capsys.readouterr().out

    def test_begins_with_the_signals_that_ask_it_to_stop(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handled: list[Any] = []
        run_once = Relays.run_once

        def look_and_run(relays: Relays) -> Tally:
            signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            handled.extend(each for each in signals if callable(signal.getsignal(each)))
            return run_once(relays)

        monkeypatch.setattr(Relays, "run_once", look_and_run)

        call_command("rele", "relay", "--once")

        assert handled == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

    def test_says_what_it_waits_for_before_a_wait_of_seconds(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = Inbox()
        begin = Relays.begin

        def begin_late(relays: Relays) -> None:
            lines.wait_for(1)
            begin(relays)

        monkeypatch.setattr(Relays, "begin", begin_late)
        monkeypatch.setattr(sys, "stderr", Lines(lines))

        call_command("rele", "relay", "--once")

        assert lines.items == ["Waiting for the database 'outbox' ..."]

    @pytest.mark.parametrize("size", ["0", "-1", "many"])
    def test_a_batch_has_at_least_one_message(self, size: str) -> None:
        with pytest.raises(
            CommandError, match=r"is not a whole number|is too small: the least is 1"
        ):
            call_command("rele", "relay", "--batch-size", size)


class TestOutbox:
    def test_shows_how_many_there_are_of_each_state_and_topic(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rele.publish_many("orders", range(3))
        rele.publish("photos", 9)
        now = timezone.now()
        monkeypatch.setattr(timezone, "now", lambda: now)
        age(2, 0, 1)
        age(0, 9)
        OutboxMessage.objects.using(ALIAS).filter(data=b"1").update(
            state=State.PARKED, event_id="e-1", attempts=20, last_error="NotFound: no such topic"
        )
        delay(5, 90)
        Relay.objects.using(ALIAS).create(name="web-1:7", sent=12_345, rate=98.76, seen_at=now)
        Shard.objects.using(ALIAS).bulk_create(Shard(number=n, holder="web-1:7") for n in (1, 2))

        call_command("rele", "outbox")

        assert capsys.readouterr().out.splitlines() == [
            "State    Topic   Messages  Oldest",
            "-------  ------  --------  ------",
            "waiting  orders         2     2 d",
            "waiting  photos         1   0.0 s",
            "parked   orders         1     2 d",
            "delayed  orders         1   0.0 s",
            "",
            "orders e-1 (parked)",
            "  Attempts      20",
            "  Next attempt  none, unless it is retried (--retry)",
            "  Last error    NotFound: no such topic",
            "",
            "orders e-5 (delayed)",
            "  Attempts      2",
            "  Next attempt  in 2 min",
            "  Last error    InvalidArgument: 5",
            "",
            "Lag: 2 d (the oldest waiting). Throughput: 98.8 messages/s.",
            "",
            "Relay    Shards    Sent  Msg/s   Seen",
            "-------  ------  ------  -----  -----",
            "web-1:7       2  12,345   98.8  0.0 s",
        ]

    def test_says_that_there_is_nothing_and_no_relay(self, capsys: Output) -> None:
        call_command("rele", "outbox")

        assert capsys.readouterr().out == (
            "The outbox is empty.\n\n"
            "Lag: none. Throughput: 0.0 messages/s.\n\n"
            "No relay is running: run `manage.py rele relay`, or `manage.py runrele --relay`.\n"
        )

    def test_as_json(self, capsys: Output) -> None:
        rele.publish("orders", 1)
        age(1, 1)

        call_command("rele", "outbox", "--format", "json")

        content = json.loads(capsys.readouterr().out)
        [row] = content.pop("messages")
        assert 86_400 <= row.pop("oldest_seconds") < 86_460
        assert row == {
            "database": ALIAS,
            "state": "waiting",
            "topic": "orders",
            "messages": 1,
        }
        [lag] = content.pop("lag")
        assert 86_400 <= lag.pop("seconds") < 86_460
        assert lag == {"database": ALIAS}
        assert content == {
            "more": [],
            "parked": [],
            "delayed": [],
            "relays": [],
            "throughput": [],
        }

    def test_as_json_it_says_what_the_relays_do_and_why_messages_are_delayed(
        self, capsys: Output
    ) -> None:
        delay(5, 90)
        Relay.objects.using(ALIAS).create(name="web-1:7", sent=5, rate=0.5)

        call_command("rele", "outbox", "--format", "json")

        content = json.loads(capsys.readouterr().out)
        [delayed] = content["delayed"]
        assert 0 < delayed.pop("next_attempt_seconds") <= 90
        assert delayed == {
            "database": ALIAS,
            "topic": "orders",
            "event_id": "e-5",
            "attempts": 2,
            "last_error": "InvalidArgument: 5",
        }
        assert content["relays"] == ["web-1:7"]
        assert content["throughput"] == [
            {"database": ALIAS, "relay": "web-1:7", "shards": 0, "sent": 5, "per_second": 0.5}
        ]

    def test_counts_no_more_than_is_cheap_and_says_so(
        self, capsys: Output, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (counting, showing):
            monkeypatch.setattr(module, "COUNTED", 2)
        rele.publish_many("orders", range(5))

        call_command("rele", "outbox")

        lines = capsys.readouterr().out.splitlines()
        assert lines[2].split()[:3] == ["waiting", "orders", "3"]
        assert lines[3] == "Only 2 waiting messages are counted; there are more."

    def test_as_json_it_has_all_that_are_parked(self, capsys: Output) -> None:
        park(*range(SHOWN + 1))

        call_command("rele", "outbox", "--format", "json")

        parked = json.loads(capsys.readouterr().out)["parked"]
        assert len(parked) == SHOWN + 1
        assert parked[0] == {
            "database": ALIAS,
            "topic": "orders",
            "event_id": "e-0",
            "attempts": 3,
            "last_error": "NotFound: 0",
        }

    def test_shows_people_only_the_first_that_are_parked(self, capsys: Output) -> None:
        park(*range(SHOWN + 2))

        call_command("rele", "outbox")

        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("orders e-") for line in lines) == SHOWN
        assert "... and 2 more that are parked: `--format json` has them." in lines

    def test_shows_what_is_parked_of_one_topic(self, capsys: Output) -> None:
        park(1)

        call_command("rele", "outbox", "--topic", "photos")

        assert "e-1" not in capsys.readouterr().out

    def test_shows_one_topic(self, capsys: Output) -> None:
        rele.publish("orders", 1)
        rele.publish("photos", 2)

        call_command("rele", "outbox", "--topic", "photos")

        output = capsys.readouterr().out
        assert "photos" in output
        assert "orders" not in output

    def test_fits_80_columns(self, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        park(1)
        delay(2, 900)
        messages = OutboxMessage.objects.using(ALIAS)
        messages.update(last_error="PermissionDenied: 403 the caller may not publish " * 5)
        Relay.objects.using(ALIAS).create(
            name="outbox-relay-6c9d8b7f5-x2lqp:1a2b3c4d:12345", sent=123_456_789, rate=10_461.6
        )

        call_command("rele", "outbox")

        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert any("10,462 " in line for line in lines)

    def test_is_in_colour_on_a_terminal(self) -> None:
        park(1)
        databases, now = [contents_of(ALIAS)], timezone.now()

        lines = list(as_text(databases, now, 80, Style(is_coloured=True)))

        assert lines[0].startswith("\033[1mState")
        assert lines[2].startswith("\033[33mparked")
        assert lines[-1].startswith("\033[33mNo relay is running")
        plain = [re.sub("\033\\[[0-9]+m", "", line) for line in lines]
        assert plain == list(as_text(databases, now, 80, PLAIN))

    def test_lets_delayed_messages_be_tried_again(self, capsys: Output) -> None:
        delay(1, 900)

        call_command("rele", "outbox", "--retry")

        assert capsys.readouterr().out == "1 message(s) will be retried now.\n"
        [row] = waiting()
        assert (row.state, row.attempts) == (State.WAITING, 0)
        assert row.next_attempt_at <= timezone.now()

    def test_watch_is_for_people(self) -> None:
        with pytest.raises(CommandError, match="--watch is for people"):
            call_command("rele", "outbox", "--watch", "--format", "json")

    def test_lets_parked_messages_be_tried_again(self, capsys: Output) -> None:
        rele.publish_many("orders", [1, 2])
        rele.publish("photos", 3)
        OutboxMessage.objects.using(ALIAS).exclude(data=b"1").update(
            state=State.PARKED, attempts=20
        )

        call_command("rele", "outbox", "--retry", "--topic", "orders")

        assert capsys.readouterr().out == "1 message(s) will be retried now.\n"
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

    @pytest.mark.parametrize(
        ("option", "state", "changed"),
        [
            ("--purge", State.SENT, "sent_at"),
            ("--purge", State.SENT, "next_attempt_at"),
            ("--parked", State.PARKED, "next_attempt_at"),
        ],
        ids=["sent after an outage", "scheduled", "scheduled and parked"],
    )
    def test_an_age_does_not_count_from_when_a_message_was_written(
        self, option: str, state: State, changed: str
    ) -> None:
        rele.publish("orders", 1)
        age(8, 1)
        yesterday = timezone.now() - timedelta(days=1)
        OutboxMessage.objects.using(ALIAS).update(state=state, **{changed: yesterday})

        call_command("rele", "outbox", "--purge", option, "--older-than", "7")
        assert len(waiting()) == 1

        call_command("rele", "outbox", "--purge", option, "--older-than", "0.5")
        assert waiting() == []

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
