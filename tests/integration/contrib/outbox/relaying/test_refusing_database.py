"""A database that refuses what a relay writes, or reads: nothing is lost, or sent again by it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from threading import Timer
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.backends.signals import connection_created

import rele
from rele.backends import Message
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying import failures
from rele.contrib.outbox.relaying.relay import OutboxRelay
from rele.contrib.outbox.relaying.times import RelayTimes
from tests.support.backends import HeldBackend
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread, connected, running, waiting
from tests.support.polling import wait_until

MakeRelay = Callable[..., OutboxRelay]


def execute(*statements: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.usefixtures("postgres")
def test_a_role_that_may_not_delete_sends_each_once_says_so_once_and_goes_on_after_a_grant(
    make_relay: MakeRelay,
    servers: FakePubSub,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(failures, "LONGEST_PAUSE", 0.2)
    execute(
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weak",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO weak",
        "REVOKE DELETE ON rele_outbox_outboxmessage FROM weak",
    )
    try:
        with connected(USER="weak"):
            relay = make_relay()
            with running(relay):
                rele.publish_many("orders", range(20))
                wait_until(lambda: bool(relay.complaints), 20)
                rele.publish_many("orders", range(20, 40))
                time.sleep(1)  # for several attempts
                assert len(servers.data) == 20
                [complaint] = relay.complaints
                assert "DELETE" in complaint

                execute("GRANT DELETE ON rele_outbox_outboxmessage TO weak")

                wait_until(lambda: not waiting(), 20)
                wait_until(lambda: not relay.complaints, 20)
    finally:
        execute("DROP OWNED BY weak", "DROP ROLE weak")

    assert sorted(map(int, servers.data)) == list(range(40))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "permission denied" in errors[0].getMessage()


@pytest.mark.usefixtures("postgres")
def test_no_transaction_is_open_while_pubsub_is_waited_for(make_relay: MakeRelay) -> None:
    """So that no setting of the server ends it, and vacuum is not held back."""

    class Slow(HeldBackend):
        def send(self, messages: Sequence[Message]) -> list[Future[str]]:
            futures = super().send(messages)
            Timer(2, self.settle_the_rest).start()
            return futures

    backend = Slow()
    execute("SELECT set_config('idle_in_transaction_session_timeout', '1s', false)")
    with connected(OPTIONS={"options": "-c idle_in_transaction_session_timeout=1s"}):
        relay = make_relay(backend)
        with running(relay):
            rele.publish_many("orders", range(20))
            seen, longest = 0, 0.0

            def is_finished() -> bool:
                nonlocal seen, longest
                with connections[ALIAS].cursor() as cursor:
                    cursor.execute(
                        "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8"
                        " FROM pg_stat_activity WHERE datname = current_database()"
                        " AND pid != pg_backend_pid() AND backend_type = 'client backend'"
                    )
                    for (seconds,) in cursor.fetchall():
                        seen += 1
                        longest = max(longest, seconds or 0.0)
                return not waiting()

            wait_until(is_finished, 20)

    assert len(backend.messages) == 20
    assert seen > 10
    assert longest < 0.5, "a single statement at most"


def terminate(connection: Any) -> None:
    """End the session of a connection on the server."""
    if connection.vendor == "postgresql":
        statement = f"SELECT pg_terminate_backend({connection.connection.info.backend_pid})"
    else:
        statement = f"KILL {connection.connection.thread_id()}"
    with closing(connections.create_connection(ALIAS)) as other, other.cursor() as cursor:
        cursor.execute(statement)


class FailsOnce:
    """Lets the n-th statement of the relay's connections fail, before or after it is executed.

    Args:
        number: n, from 1.
        is_late: whether the connection is lost after it was executed.
    """

    def __init__(self, number: int, is_late: bool) -> None:
        self._number = number
        self._is_late = is_late
        self.executed = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.executed += 1
        if self.executed != self._number:
            return execute(sql, params, many, context)
        if self._is_late:
            execute(sql, params, many, context)
            terminate(context["connection"])
        raise OperationalError("failed for this test")

    def watch(self, connection: Any, **_: Any) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)


@pytest.mark.usefixtures("database")
def test_whichever_statement_fails_nothing_is_lost_or_sent_twice_and_order_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    let_each_statement_fail(is_late=False)


@pytest.mark.usefixtures("shared")
def test_after_whichever_statement_the_connection_is_lost_the_same_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    let_each_statement_fail(is_late=True)


def let_each_statement_fail(*, is_late: bool) -> None:
    number = executed = 1
    while executed >= number:
        fault = FailsOnce(number, is_late)
        connection_created.connect(fault.watch)
        try:
            send_seven()
        finally:
            connection_created.disconnect(fault.watch)
        executed = fault.executed
        number += 1

    assert number > 10


def send_seven() -> None:
    """Six are accepted, of two keys; one is refused and parked in the end."""
    servers = FakePubSub()
    servers.errors["6"] = REFUSED
    times = RelayTimes(first_pause=0.01, delayed_every=0.05)
    relay = OutboxRelay(ALIAS, OutboxSettings(max_attempts=3), servers, times=times)
    for n in range(6):
        rele.publish("orders", n, ordering_key=f"key-{n % 2}")
    rele.publish("photos", 6)
    thread = InThread(lambda: run_anyhow(relay))
    try:
        wait_until(
            lambda: [(bytes(row.data), row.state) for row in waiting()] == [(b"6", State.PARKED)],
            20,
            lambda: (servers.requests, waiting()),
        )
    finally:
        relay.stop()
        thread.join()
    OutboxMessage.objects.using(ALIAS).all().delete()
    assert [data for data in servers.data if int(data) % 2 == 0] == ["0", "2", "4"]
    assert [data for data in servers.data if int(data) % 2 == 1] == ["1", "3", "5"]


def run_anyhow(relay: OutboxRelay) -> None:
    """As a supervisor does, which starts it again where it could not begin."""
    while True:
        try:
            relay.run()
        except OutboxError:
            connections[ALIAS].close()
            continue
        return
