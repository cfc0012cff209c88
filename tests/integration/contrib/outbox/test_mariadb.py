"""The outbox on MariaDB, with and without ``SKIP LOCKED``, which it does not need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import environ
import pytest
from django.db import connections

import rele
from rele.contrib.outbox.models import OutboxMessage, Relay
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.support.outbox import ALIAS, FakePubSub, InThread, filled_in, installed
from tests.support.polling import wait_until

MakeRelay = Callable[..., OutboxRelay]


@pytest.fixture(autouse=True)
def _mariadb(mariadb_url: str, django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on MariaDB."""
    yield from installed(filled_in(environ.Env.db_url_config(mariadb_url)), django_db_blocker)


@pytest.fixture(params=["10.6", "10.5"])
def _version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of MariaDB, of which Django knows whether it has ``SKIP LOCKED``."""
    features = type(connections[ALIAS].features)
    has_it = request.param == "10.6"
    monkeypatch.setattr(features, "has_select_for_update_skip_locked", has_it)


def test_sends_what_waits(make_relay: MakeRelay, servers: FakePubSub) -> None:
    rele.publish_many("orders", [(n, {"ordering_key": "k" * 1024}) for n in range(3)])
    rele.publish("orders", 3)

    assert make_relay().run_once() == Tally(4, 0)

    assert sorted(servers.data) == ["0", "1", "2", "3"]
    assert not OutboxMessage.objects.using(ALIAS).exists()


def all_is_sent() -> bool:
    return not OutboxMessage.objects.using(ALIAS).exists()


@pytest.mark.usefixtures("_version")
def test_several_share_it(make_relay: MakeRelay, servers: FakePubSub) -> None:
    relays = [make_relay(), make_relay()]
    threads = [InThread(relay.run) for relay in relays]
    for _ in range(3):  # the second has its share within some seconds
        for number in range(40):
            rele.publish("orders", number)
        wait_until(all_is_sent, 20)

    assert Relay.objects.using(ALIAS).count() == 2
    for relay, thread in zip(relays, threads, strict=True):
        relay.stop()
        thread.join()
    assert sorted(servers.data) == sorted(str(number) for number in [*range(40)] * 3)


def test_one_whose_connections_were_closed_goes_on(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    relay = make_relay()
    thread = InThread(relay.run)
    rele.publish("orders", 1)
    wait_until(all_is_sent, 20)
    kill_other_connections()
    rele.publish("orders", 2)
    wait_until(all_is_sent, 20)

    relay.stop()
    thread.join()
    assert servers.data == ["1", "2"]


def kill_other_connections() -> None:
    """As a restart of the server does."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE id != CONNECTION_ID() AND user = 'root'"
        )
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number:d}")
