"""In which order a relay sends, whose clock counts, and how the project has set its database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from psycopg import IsolationLevel

import rele
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.lanes import lane_of
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.contrib.outbox.relaying.times import RelayTimes
from tests.support.outbox import (
    ALIAS,
    REFUSED,
    FakePubSub,
    InThread,
    connected,
    make_due,
    running,
    waiting,
)
from tests.support.polling import wait_until

MakeRelay = Callable[..., OutboxRelay]


def write_in_turn() -> None:
    """The second transaction publishes first, and commits after the first."""
    has_published, may_commit = threading.Event(), threading.Event()

    def second() -> None:
        with transaction.atomic(using=ALIAS):
            rele.publish("orders", "T2", ordering_key="a")
            has_published.set()
            assert may_commit.wait(20)

    thread = InThread(second)
    assert has_published.wait(20)
    with transaction.atomic(using=ALIAS):
        rele.publish("orders", "T1", ordering_key="a")
    may_commit.set()
    thread.join()


@pytest.mark.usefixtures("tracking")
class TestByCommit:
    def test_messages_of_a_key_are_sent_in_the_order_of_their_commits(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        write_in_turn()

        make_relay().run_once()

        assert servers.data == ['"T1"', '"T2"']

    def test_a_refused_one_keeps_its_place(self, make_relay: MakeRelay) -> None:
        write_in_turn()
        servers = FakePubSub()
        servers.errors = {'"T1"': REFUSED}
        make_relay(servers).run_once()
        [later, first] = waiting()
        assert (first.state, later.state) == (State.DELAYED, State.WAITING)
        assert first.committed_at is not None
        servers.errors.clear()
        make_due()

        make_relay(servers).run_once()

        assert servers.data == ['"T1"', '"T2"']


@pytest.mark.usefixtures("database")
def test_elsewhere_they_are_sent_in_the_order_in_which_they_were_published(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    for number in range(5):
        rele.publish("orders", number, ordering_key="a")
    OutboxMessage.objects.using(ALIAS).filter(data=b"0").update(created_at=timezone.now())

    make_relay().run_once()

    assert servers.data == ["0", "1", "2", "3", "4"]


@pytest.mark.usefixtures("shared")
def test_what_is_committed_after_later_messages_were_sent_is_found(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    has_published, may_commit = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic(using=ALIAS):
            rele.publish("orders", "late")
            has_published.set()
            assert may_commit.wait(20)

    with running(make_relay()):
        thread = InThread(late)
        assert has_published.wait(20)
        rele.publish("orders", "later")
        wait_until(lambda: servers.data == ['"later"'], 20)
        wait_until(lambda: OutboxMessage.objects.using(ALIAS).count() == 0, 20)
        may_commit.set()
        thread.join()
        wait_until(lambda: servers.data == ['"later"', '"late"'], 20)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("minutes", [-5, 5])
def test_a_key_does_not_wait_for_clocks_that_differ(
    minutes: int, servers: FakePubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer's clock is five minutes fast or slow; the database's counts."""
    now = timezone.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(timezone, "now", lambda: now)
    servers.errors["1"] = REFUSED
    rele.publish("orders", 1, ordering_key="a")
    rele.publish("orders", 2, ordering_key="a")
    times = RelayTimes(first_pause=0.2, delayed_every=0.1)
    relay = OutboxRelay(ALIAS, OutboxSettings(), servers, times=times)

    with running(relay):
        wait_until(lambda: ["1"] in servers.requests, 20)
        servers.errors.clear()
        wait_until(lambda: servers.data == ["1", "2"], 10)


def level(kind: str, name: str) -> Any:
    return IsolationLevel[name.upper().replace(" ", "_")] if kind == "postgres" else name


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("name", ["read committed", "repeatable read", "serializable"])
def test_at_each_isolation_level_several_relays_send_each_once_in_order(
    shared: str, make_relay: MakeRelay, name: str
) -> None:
    pubsubs = [FakePubSub(), FakePubSub()]
    numbers = range(10)
    with connected(OPTIONS={"isolation_level": level(shared, name)}):

        def publish(key: int) -> None:
            for number in numbers:
                rele.publish("orders", [key, number], ordering_key=f"key-{key}")

        with running(make_relay(pubsubs[0])), running(make_relay(pubsubs[1])):
            for thread in [InThread(lambda key=key: publish(key)) for key in range(8)]:
                thread.join()
            wait_until(lambda: not waiting(), 30)

    accepted = [message.json() for pubsub in pubsubs for message in pubsub.accepted]
    assert sorted(accepted) == [[key, number] for key in range(8) for number in numbers]


@pytest.mark.usefixtures("shared")
def test_without_autocommit_each_is_sent_once_and_deleted(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    rele.publish_many("orders", range(20))
    with connected(AUTOCOMMIT=False), running(make_relay()):
        wait_until(lambda: not waiting(), 20)

    assert sorted(map(int, servers.data)) == list(range(20))


@pytest.mark.usefixtures("database")
def test_what_an_older_version_has_written_is_sent_in_its_place(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    for number in range(4):
        rele.publish("orders", number, ordering_key="a")
    old = OutboxMessage.objects.using(ALIAS).filter(data__in=[b"0", b"1"])
    old.update(lane=None, shard=None)
    servers.errors["0"] = REFUSED
    make_relay().run_once()
    assert {row.lane for row in waiting()} == {lane_of("orders", "a")}
    servers.errors.clear()
    make_due()

    assert make_relay().run_once() == Tally(4, 0)

    assert servers.data == ["0", "1", "2", "3"]
