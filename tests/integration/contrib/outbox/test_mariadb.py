"""The outbox on MariaDB, where relays can share it, and where only one can work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import environ
import pytest
from django.db import connections

import rele
from rele.contrib.outbox.models import OutboxMessage
from rele.contrib.outbox.relaying.presence import present_relays
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.exceptions import ConfigurationError
from tests.support.outbox import ALIAS, FakePubSub, InThread, filled_in, installed

MakeRelay = Callable[..., OutboxRelay]


@pytest.fixture(autouse=True)
def _mariadb(mariadb_url: str, django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on MariaDB."""
    yield from installed(filled_in(environ.Env.db_url_config(mariadb_url)), django_db_blocker)


@pytest.fixture
def without_skip_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a MariaDB before 10.6 is."""
    features = type(connections[ALIAS].features)
    monkeypatch.setattr(features, "has_select_for_update_skip_locked", False)


def test_sends_what_waits(make_relay: MakeRelay, servers: FakePubSub) -> None:
    rele.publish_many("orders", [(n, {"ordering_key": "k" * 1024}) for n in range(3)])
    rele.publish("orders", 3)

    assert make_relay().run_once() == Tally(4, 0)

    assert sorted(servers.data) == ["0", "1", "2", "3"]
    assert not OutboxMessage.objects.using(ALIAS).exists()


def test_several_share_it(first: OutboxRelay, make_relay: MakeRelay) -> None:
    rele.publish("orders", 1)

    assert make_relay().run_once() == Tally(1, 0)


@pytest.mark.usefixtures("without_skip_locked")
class TestWithoutSkipLocked:
    def test_a_second_is_refused_at_once_and_learns_who_is_the_first(
        self, first: OutboxRelay, make_relay: MakeRelay
    ) -> None:
        with pytest.raises(ConfigurationError, match=f"The relay {first.name} is running, and on"):
            make_relay().run_once()

        assert present_relays(ALIAS) == [first.name]

    def test_one_that_has_ended_makes_room(self, first: OutboxRelay, make_relay: MakeRelay) -> None:
        first.end()
        rele.publish("orders", 1)

        assert make_relay().run_once() == Tally(1, 0)

    def test_one_whose_connections_were_closed_makes_room_and_gives_way(
        self, first: OutboxRelay, make_relay: MakeRelay
    ) -> None:
        kill_other_connections()
        rele.publish("orders", 1)
        second = make_relay()

        assert second.run_once() == Tally(1, 0), "the server has freed the lock at once"

        second.begin()
        try:
            with pytest.raises(ConfigurationError, match=f"The relay {second.name} is running"):
                InThread(first.run).join()
        finally:
            second.end()

    def test_one_whose_connections_were_closed_goes_on_where_no_other_has_come(
        self, first: OutboxRelay, servers: FakePubSub
    ) -> None:
        thread = InThread(first.run)
        kill_other_connections()
        rele.publish("orders", 1)

        deadline = time.monotonic() + 20
        while OutboxMessage.objects.using(ALIAS).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)  # the database notifies nobody

        first.stop()
        thread.join()
        assert servers.data == ["1"]


def kill_other_connections() -> None:
    """As a restart of the server does."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE id != CONNECTION_ID() AND user = 'root'"
        )
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number:d}")
