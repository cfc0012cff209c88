"""A transaction of somebody else that has locked rows of the outbox, and stays open."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.models import QuerySet

import rele
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard, State
from rele.contrib.outbox.relaying import reporting
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread, running, waiting
from tests.support.outbox_rows import TABLE, recorded
from tests.support.polling import wait_until

MakeRelay = Callable[..., OutboxRelay]


@contextmanager
def locked(*data: str) -> Iterator[Callable[[], None]]:
    """Another session has locked the rows with these data, until the function is called."""
    ids = {row.id for row in waiting() if bytes(row.data).decode() in data}
    with closing(connections.create_connection(ALIAS)) as other, other.cursor() as cursor:
        other.set_autocommit(False)
        for id_ in sorted(ids):
            cursor.execute(f"SELECT id FROM {TABLE} WHERE id = %s FOR UPDATE", [id_])
        yield other.rollback
        other.rollback()


@contextmanager
def locked_rows(*querysets: QuerySet[Any]) -> Iterator[Callable[[], None]]:
    """Another session has locked these rows, until the function is called."""
    with closing(connections.create_connection(ALIAS)) as other, other.cursor() as cursor:
        other.set_autocommit(False)
        for rows in querysets:
            sql, parameters = rows.query.get_compiler(ALIAS).as_sql()
            cursor.execute(f"{sql} FOR UPDATE", parameters)
        yield other.rollback
        other.rollback()


@pytest.mark.usefixtures("shared")
def test_locked_rows_of_shards_delay_the_messages_of_these_alone(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    make_relay().run_once()  # has filled the table of the shards
    rele.publish_many("orders", range(100))
    those = {int(row.data) for row in waiting() if row.shard is not None and row.shard < 8}
    shards = Shard.objects.using(ALIAS).filter(number__lt=8)
    with locked_rows(shards) as unlock, running(make_relay()):
        wait_until(lambda: len(servers.data) == 100 - len(those), 20)
        assert not those & set(map(int, servers.data))

        unlock()

        wait_until(lambda: len(servers.data) == 100, 20)


@pytest.mark.usefixtures("shared")
def test_a_relay_stops_while_all_rows_are_locked_by_which_others_see_it(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    rele.publish("orders", 1)
    relay = make_relay()
    thread = InThread(relay.run)
    wait_until(lambda: servers.data == ["1"], 20)
    with locked_rows(Shard.objects.using(ALIAS), Relay.objects.using(ALIAS)):
        rele.publish("orders", 2)
        wait_until(lambda: servers.data == ["1", "2"], 20)
        relay.stop()
        thread.join(2)


def seconds_until_sent(servers: FakePubSub, data: str) -> float:
    began = time.monotonic()
    rele.publish("photos", data)
    wait_until(lambda: f'"{data}"' in servers.data, 20)
    return time.monotonic() - began


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("keep_sent", [False, True])
def test_delays_its_own_messages_and_keys_alone(
    make_relay: MakeRelay,
    servers: FakePubSub,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    keep_sent: bool,
) -> None:
    monkeypatch.setattr(reporting, "_WARNING_AFTER", 0.2)
    rele.publish("orders", 0, ordering_key="a")
    rele.publish("orders", 3)
    with locked("0", "3") as unlock, running(make_relay(keep_sent=keep_sent)):
        wait_until(lambda: {"0", "3"} <= set(servers.data), 20)
        rele.publish("orders", 1, ordering_key="a")
        rele.publish("orders", 2, ordering_key="a")
        rele.publish("orders", 4, ordering_key="b")
        rele.publish("orders", 5)
        waits = [seconds_until_sent(servers, str(number)) for number in range(10)]
        wait_until(lambda: "locked their rows" in caplog.text, 20)
        assert min(waits) < 1
        assert unsent() == {"0", "1", "2", "3"}
        assert not {"1", "2"} & set(servers.data)

        unlock()

        wait_until(lambda: not unsent(), 20)
    assert sorted(data for data in servers.data if data in "012345") == list("012345")
    assert [data for data in servers.data if data in "012"] == ["0", "1", "2"]
    assert len(servers.data) == 16, "each once"
    warnings = [r for r in caplog.records if "locked their rows" in r.getMessage()]
    assert [record.levelno for record in warnings] == [logging.WARNING]


def unsent() -> set[str]:
    return {bytes(row.data).decode() for row in waiting() if row.state != State.SENT}


@pytest.mark.usefixtures("shared")
def test_a_relay_stops_nevertheless_and_says_what_is_sent_again(
    make_relay: MakeRelay, servers: FakePubSub, caplog: pytest.LogCaptureFixture
) -> None:
    rele.publish_many("orders", range(5))
    relay = make_relay()
    with locked("2"):
        thread = InThread(relay.run)
        wait_until(lambda: len(waiting()) == 1, 20)
        began = time.monotonic()
        relay.stop()
        thread.join()
        assert time.monotonic() - began < 2

    assert "1 message(s) whose outcomes could not be written will be sent again" in caplog.text
    assert make_relay().run_once() == Tally(1, 0)
    assert sorted(servers.data) == ["0", "1", "2", "2", "3", "4"]


@pytest.mark.usefixtures("shared")
def test_a_refusal_is_written_when_the_row_is_free(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    servers.errors["0"] = REFUSED
    rele.publish("orders", 0, ordering_key="a")
    rele.publish("orders", 1, ordering_key="a")
    with locked("0") as unlock, running(make_relay()):
        wait_until(lambda: bool(servers.requests), 20)
        seconds_until_sent(servers, "other")
        assert [request for request in servers.requests if "0" in request] == [["0", "1"]]
        assert waiting()[0].state == State.WAITING

        unlock()

        wait_until(lambda: waiting()[0].attempts > 0, 20)
        assert waiting()[0].state == State.DELAYED
        servers.errors.clear()
        wait_until(lambda: not waiting(), 20)
    assert [data for data in servers.data if data in "01"] == ["0", "1"]


@pytest.mark.usefixtures("shared")
def test_no_more_is_sent_of_a_topic_than_may_be_outstanding_while_all_of_it_is_locked(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    rele.publish_many("orders", range(50))
    with locked(*map(str, range(50))) as unlock, running(make_relay(batch_size=10)):
        for number in range(3):
            seconds_until_sent(servers, str(number))
        assert len(servers.data) == 10 + 3

        unlock()

        wait_until(lambda: not waiting(), 20)
    assert len(servers.data) == 50 + 3


@pytest.mark.usefixtures("shared")
def test_rows_of_an_older_version_wait_until_they_are_free(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    rele.publish("orders", 0)
    OutboxMessage.objects.using(ALIAS).update(lane=None, shard=None)
    with locked("0") as unlock, running(make_relay()):
        seconds_until_sent(servers, "other")
        assert "0" not in servers.data

        unlock()

        wait_until(lambda: not waiting(), 20)


@pytest.mark.usefixtures("postgres")
def test_where_nothing_is_locked_outcomes_are_written_by_one_statement(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    rele.publish_many("orders", range(100))
    relay = make_relay()

    with recorded() as statements:
        thread = InThread(relay.run_once)
        thread.join()

    assert len(servers.data) == 100
    assert not waiting()
    everything = [sql for sql, _ in statements.all if TABLE in sql]
    [delete] = statements.of("DELETE")
    after = everything[everything.index(delete[0]) + 1 :]
    assert not [sql for sql in after if " IN (" in sql], "no question about what was not deleted"
