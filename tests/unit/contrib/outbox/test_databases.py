"""An outbox in several databases, and transactions that are not on the outbox's."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.db import connections, transaction

import rele
from rele.contrib.outbox import routing, using
from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.models import OutboxMessage, Relay, State
from rele.contrib.outbox.relaying.beside_worker import watching
from rele.contrib.outbox.relaying.relay import Tally
from rele.contrib.outbox.relaying.relays import Relays, make_relays
from rele.contrib.outbox.relaying.waiting import RelayWaiter
from rele.exceptions import ConfigurationError
from tests.support.inbox import Inbox
from tests.support.outbox import ALIAS, FakePubSub, InThread, filled_in
from tests.support.recorder import Recorder, raising

OTHER = "other"


@pytest.fixture(autouse=True)
def _two_databases(sqlite: None, tmp_path: Path) -> Iterator[None]:
    """The outbox is in two."""
    connections.settings[OTHER] = filled_in(
        {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "other.sqlite3")}
    )
    call_command("migrate", "rele_outbox", database=OTHER, verbosity=0)
    set_up([ALIAS, OTHER])
    routing._warned_of.clear()
    yield
    connections[OTHER].close()
    del connections[OTHER], connections.settings[OTHER]


def set_up(aliases: str | list[str], **outbox: Any) -> None:
    rele.setup(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "MIDDLEWARE": [],
            "OUTBOX": {"USING": aliases, "BACKEND": "tests.support.outbox.FakePubSub", **outbox},
        }
    )


def data_in(alias: str) -> list[str]:
    return [bytes(row.data).decode() for row in OutboxMessage.objects.using(alias).order_by("id")]


def relays() -> Relays:
    return make_relays(rele.config.current())


class TestUsing:
    def test_the_first_is_the_one_where_nobody_says_otherwise(self) -> None:
        rele.publish("orders", 1)

        assert (data_in(ALIAS), data_in(OTHER)) == (["1"], [])

    def test_what_is_published_within_the_block_is_written_into_the_other(self) -> None:
        with transaction.atomic(using=OTHER), using(OTHER):
            rele.publish("orders", 1)
            with using(ALIAS):
                rele.publish("orders", 2)
            rele.publish_many("orders", [3, 4])
        rele.publish("orders", 5)

        assert (data_in(ALIAS), data_in(OTHER)) == (["2", "5"], ["1", "3", "4"])

    def test_it_is_taken_back_by_the_others_rollback(self) -> None:
        with transaction.atomic(using=OTHER), using(OTHER):
            rele.publish("orders", 1)
            transaction.set_rollback(True, using=OTHER)

        assert data_in(OTHER) == []

    def test_another_thread_has_its_own(self) -> None:
        with using(OTHER):
            InThread(lambda: rele.publish("orders", 1)).join()

        assert data_in(ALIAS) == ["1"]

    def test_a_database_that_no_relay_looks_at_is_refused_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match=r"in 'outbox', 'other', not in 'default'"):
            using("default")

        set_up(ALIAS)
        with pytest.raises(ConfigurationError, match=r"add it to RELE\['OUTBOX'\]\['USING'\]"):
            using(OTHER)


class TestRelays:
    def test_once_sends_what_is_in_all(self) -> None:
        rele.publish("orders", 1)
        with using(OTHER):
            rele.publish_many("orders", [2, 3])

        assert relays().run_once() == Tally(3, 0)

        assert FakePubSub.last.data == ["1", "2", "3"]
        assert (data_in(ALIAS), data_in(OTHER)) == ([], [])

    def test_they_send_what_comes_until_they_are_to_stop(self, hooks: Recorder) -> None:
        sent = Inbox()
        hooks.actions["post_publish_success"] = lambda topic, data, attributes: sent.put(data)
        both = relays()
        thread = InThread(both.run)
        try:
            with using(OTHER):
                rele.publish("orders", 1)
            sent.wait_for(1)
            rele.publish("orders", 2)
            sent.wait_for(2)
        finally:
            both.stop()
            thread.join()

        assert not any(Relay.objects.using(alias).exists() for alias in (ALIAS, OTHER))

    def test_a_relay_at_work_on_one_of_them_is_enough_to_refuse_a_second(self) -> None:
        set_up(OTHER)
        first = relays()
        first.begin()
        set_up([ALIAS, OTHER])
        try:
            with pytest.raises(ConfigurationError, match="is running"):
                relays().begin()
            assert not Relay.objects.using(ALIAS).exists()
        finally:
            first.end()
        assert relays().run_once() == Tally()

    def test_all_end_when_one_has_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(RelayWaiter, "open", raising(RuntimeError("broken on it")))

        with pytest.raises(RuntimeError, match="broken on"):
            relays().run()

    def test_once_relays_the_others_where_one_cannot_be_used(self) -> None:
        with using(OTHER):
            rele.publish("orders", 1)
        both = relays()
        both.begin()
        with connections[ALIAS].schema_editor() as editor:
            editor.delete_model(OutboxMessage)

        with pytest.raises(OutboxError, match=r"`manage.py migrate`, with --database outbox"):
            both.run_once()

        assert FakePubSub.last.data == ["1"]


def test_the_watch_looks_at_each() -> None:
    warned = Inbox()
    handler: Any = logging.Handler()
    handler.emit = lambda record: warned.put(record.getMessage())
    logger = logging.getLogger("rele.contrib.outbox.relaying.beside_worker")
    logger.addHandler(handler)
    try:
        with watching(rele.config.current(), interval=0.01) as begin:
            begin()
            warned.wait_for(2)
    finally:
        logger.removeHandler(handler)

    assert [text.rpartition(" for ")[0] for text in warned.items] == [
        "No relay has been running for the outbox in 'outbox'",
        "No relay has been running for the outbox in 'other'",
    ]


class TestCommands:
    @pytest.fixture(autouse=True)
    def _messages(self) -> None:
        rele.publish("orders", 1)
        with using(OTHER):
            rele.publish_many("orders", [2, 3])

    def test_outbox_shows_all(self, capsys: Any) -> None:
        Relay.objects.using(OTHER).create(name="web:1")

        call_command("rele", "outbox")

        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:4] for line in lines[2:4]] == [
            [ALIAS, "waiting", "orders", "1"],
            [OTHER, "waiting", "orders", "2"],
        ]
        assert [line.partition(":")[0] for line in lines[5:7]] == [
            "Lag on 'outbox'",
            "Lag on 'other'",
        ]
        assert lines[8].split()[:2] == ["Database", "Relay"]
        assert lines[10].split()[:2] == [OTHER, "web:1"]
        assert lines[11].startswith("No relay is running on 'outbox': run ")

    def test_outbox_as_json_names_the_database(self, capsys: Any) -> None:
        call_command("rele", "outbox", "--format", "json")

        rows = json.loads(capsys.readouterr().out)["messages"]
        assert [(row["database"], row["messages"]) for row in rows] == [(ALIAS, 1), (OTHER, 2)]

    def test_retry_and_purge_look_after_all(self, capsys: Any) -> None:
        for alias in (ALIAS, OTHER):
            OutboxMessage.objects.using(alias).update(state=State.PARKED)

        call_command("rele", "outbox", "--retry")
        for alias in (ALIAS, OTHER):
            OutboxMessage.objects.using(alias).update(state=State.SENT)
        call_command("rele", "outbox", "--purge", "--older-than", "0")

        assert capsys.readouterr().out == (
            "3 message(s) will be retried now.\n3 sent message(s) deleted.\n"
        )
        assert (data_in(ALIAS), data_in(OTHER)) == ([], [])

    def test_relay_sends_what_is_in_all(self, capsys: Any) -> None:
        call_command("rele", "relay", "--once")

        assert capsys.readouterr().out == "3 message(s) sent.\n"


def check_outbox() -> list[CheckMessage]:
    """What the system checks say of the settings of the outbox."""
    return [each for each in run_checks(tags=["rele"]) if "RELE['OUTBOX']" in each.msg]


class TestChecks:
    @pytest.mark.parametrize("aliases", ["default", ["default"], ["default", "default"], None])
    def test_databases_of_the_project_are_well(self, settings: Any, aliases: Any) -> None:
        settings.RELE = {"OUTBOX": {"USING": aliases}}

        assert check_outbox() == []

    def test_each_that_is_none_is_named(self, settings: Any) -> None:
        settings.RELE = {"OUTBOX": {"USING": ["default", "nowhere", "elsewhere"]}}

        messages = check_outbox()

        assert [message.id for message in messages] == ["rele.E010", "rele.E010"]
        assert "'nowhere'" in messages[0].msg
        assert "'elsewhere'" in messages[1].msg

    @pytest.mark.parametrize(("aliases", "id_"), [([], "rele.E003"), ([1], "rele.E002")])
    def test_what_is_no_list_of_aliases_is_wrong(
        self, settings: Any, aliases: Any, id_: str
    ) -> None:
        settings.RELE = {"OUTBOX": {"USING": aliases}}

        [message] = check_outbox()

        assert message.id == id_
        assert "the alias of a database, a list of them, or None" in message.msg


class TestAnotherTransaction:
    @pytest.fixture
    def warnings(self, caplog: pytest.LogCaptureFixture) -> Any:
        return lambda: [record.getMessage() for record in caplog.records]

    def test_a_transaction_on_another_database_alone_is_warned_of_once(self, warnings: Any) -> None:
        for number in range(2):
            with transaction.atomic(using=OTHER):
                rele.publish("orders", number)

        [warning] = warnings()
        assert "a transaction on the database 'other'" in warning
        assert "rele.contrib.outbox.using('other')" in warning
        assert data_in(ALIAS) == ["0", "1"], "it is published all the same"

    def test_once_for_each_database_whatever_the_thread(self, warnings: Any) -> None:
        def publish() -> None:
            with transaction.atomic(using=OTHER):
                rele.publish("orders", 1)

        publish()
        InThread(publish).join()
        with transaction.atomic(using=ALIAS), using(OTHER):
            rele.publish("orders", 2)

        assert [text.split("database ")[1].split(",")[0] for text in warnings()] == [
            "'other'",
            "'outbox'",
        ]

    def test_none_where_the_outboxs_has_one_too(self, warnings: Any) -> None:
        with transaction.atomic(using=OTHER), transaction.atomic(using=ALIAS):
            rele.publish("orders", 1)
        with transaction.atomic(using=OTHER), using(OTHER):
            rele.publish("orders", 1)
        rele.publish("orders", 1)

        assert warnings() == []
