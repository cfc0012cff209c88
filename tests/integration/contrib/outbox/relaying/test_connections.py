"""What a relay's one connection may be: pooled, behind PgBouncer, of each isolation level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import django
import pytest
from django.db import connections

import rele
from rele.config import Config
from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Relay, Shard
from rele.contrib.outbox.relaying.beside_worker import relaying
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import autocommitting
from rele.contrib.outbox.relaying.ownership import Ownership, ownership_of
from rele.contrib.outbox.waking import CHANNEL
from tests.support import pgbouncer
from tests.support.outbox import ALIAS, FakePubSub, InThread
from tests.support.polling import wait_until

ALL = frozenset(range(SHARDS))


class Ticking:
    """A monotonic clock on which each call of ``tend`` has something to do."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def make() -> Ownership:
    return ownership_of(ALIAS, 600, DatabaseClock(ALIAS), Ticking())


@contextmanager
def connected(**settings: Any) -> Iterator[None]:
    """Change how all threads connect to the database of the outbox."""
    before = connections.settings[ALIAS]
    connections[ALIAS].close()
    del connections[ALIAS]
    connections.settings[ALIAS] = {**before, **settings}
    try:
        yield
    finally:
        connections[ALIAS].close()
        if hasattr(connections[ALIAS], "close_pool"):
            connections[ALIAS].close_pool()
        del connections[ALIAS]
        connections.settings[ALIAS] = before


def query(statement: str) -> list[tuple[Any, ...]]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


@pytest.mark.skipif(django.VERSION < (5, 1), reason="the pool is one of Django 5.1")
@pytest.mark.usefixtures("postgres")
class TestAPool:
    """Its only connection is the relay's."""

    @pytest.fixture(autouse=True)
    def _pool(self, postgres: None) -> Iterator[None]:
        with connected(OPTIONS={"pool": {"min_size": 1, "max_size": 1, "timeout": 5}}):
            yield

    @pytest.mark.parametrize("leave", [Ownership.disconnect, Ownership.end])
    def test_others_get_a_connection_without_its_lock_and_its_notifications(
        self, leave: Callable[[Ownership], None]
    ) -> None:
        ownership = make()
        ownership.begin()
        [(session,)] = query("SELECT pg_backend_pid()")
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        assert Relay.objects.using(ALIAS).get().session_lock is not None

        getattr(ownership, leave.__name__)()
        connections[ALIAS].close()

        def another_uses_it() -> None:
            assert query("SELECT pg_backend_pid()") == [(session,)]
            assert query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []
            assert query("SELECT pg_listening_channels()") == []

        InThread(another_uses_it).join()

    def test_the_relay_goes_on_with_another_session(self) -> None:
        ownership = make()
        ownership.begin()
        lock = Relay.objects.using(ALIAS).get().session_lock
        ownership.disconnect()
        assert ownership.shards == frozenset()
        ownership.tend()

        assert ownership.shards == ALL
        assert Relay.objects.using(ALIAS).get().session_lock not in (None, lock)
        ownership.end()


@pytest.mark.skipif(django.VERSION < (5, 1), reason="the pool is one of Django 5.1")
@pytest.mark.usefixtures("postgres")
def test_a_relay_beside_a_worker_uses_one_connection_of_a_pool() -> None:
    outbox = {"USING": ALIAS, "BACKEND": "tests.support.outbox.FakePubSub"}
    pool = {"min_size": 1, "max_size": 2, "timeout": 5}
    with connected(OPTIONS={"pool": pool}), relaying(Config({"OUTBOX": outbox})) as start:
        assert query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") == []
        connections[ALIAS].close()
        start()
        rele.publish("orders", 1)
        wait_until(lambda: FakePubSub.last.data == ["1"], 20)

        others = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        assert len(query(f"{others} AND pid != pg_backend_pid()")) == 1


@pytest.fixture
def bouncer(postgres: None, postgres_url: str) -> Iterator[None]:
    """The connection leads to one of two of the server, each time to another one."""
    with pgbouncer.running(postgres_url) as url:
        address = urlsplit(url)
        with connected(HOST=address.hostname, PORT=address.port, DISABLE_SERVER_SIDE_CURSORS=True):
            both = [InThread(lambda: query("SELECT pg_sleep(0.5)")) for _ in range(2)]
            for each in both:
                each.join()
            yield


@pytest.mark.usefixtures("bouncer")
class TestPgBouncer:
    def test_others_are_not_to_rely_on_a_lock_of_some_connection(self) -> None:
        ownership = make()
        ownership.begin()
        for _ in range(3):
            ownership.tend()

        assert Relay.objects.using(ALIAS).get().session_lock is None
        ownership.end()

    def test_relays_share_by_leases_alone(self) -> None:
        first, second = make(), make()
        first.begin()
        second.begin()
        for _ in range(10):
            for ownership in (first, second):
                ownership.tend()
                ownership.release(ownership.wants_to_release)

        assert len(first.shards) == len(second.shards) == SHARDS / 2
        assert first.shards | second.shards == ALL
        first.end()
        second.end()


LEVELS = [
    ("postgres", "READ COMMITTED"),
    ("postgres", "REPEATABLE READ"),
    ("postgres", "SERIALIZABLE"),
    ("mariadb", "read committed"),
    ("mariadb", "repeatable read"),
    ("mariadb", "serializable"),
]


@pytest.mark.parametrize(("kind", "level"), LEVELS)
def test_at_each_isolation_level_relays_that_come_and_go_share_without_an_error(
    request: pytest.FixtureRequest, kind: str, level: str
) -> None:
    request.getfixturevalue(kind)
    options = {"isolation_level": level}
    if kind == "postgres":
        from psycopg import IsolationLevel

        options = {"isolation_level": IsolationLevel[level.replace(" ", "_")]}
    with connected(OPTIONS=options):
        finals = [make() for _ in range(4)]

        def come_and_go(last: Ownership) -> None:
            for ownership in (make(), make(), last):
                ownership.begin()
                for _ in range(20):
                    ownership.tend()
                    ownership.release(ownership.wants_to_release)
                if ownership is not last:
                    ownership.end()

        threads = [InThread(lambda last=last: come_and_go(last)) for last in finals]
        for thread in threads:
            thread.join(60)
        for _ in range(6):
            for ownership in finals:
                ownership.tend()
                ownership.release(ownership.wants_to_release)

        assert [len(ownership.shards) for ownership in finals] == [4] * 4
        assert frozenset().union(*(ownership.shards for ownership in finals)) == ALL
        for ownership in finals:
            ownership.end()
        assert set(Shard.objects.using(ALIAS).values_list("holder", flat=True)) == {""}


@pytest.mark.usefixtures("shared")
def test_where_autocommit_is_off_others_see_at_once_what_a_relay_does() -> None:
    with connected(AUTOCOMMIT=False):
        ownership = make()
        ownership.begin()

        def others_see_it() -> None:
            autocommitting(ALIAS)
            assert [relay.name for relay in Relay.objects.using(ALIAS)] == [ownership.name]
            holders = Shard.objects.using(ALIAS).values_list("holder", flat=True)
            assert set(holders) == {ownership.name}

        InThread(others_see_it).join()
        ownership.end()
        autocommitting(ALIAS)
        assert not Relay.objects.using(ALIAS).exists()
