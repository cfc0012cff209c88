"""What others do when a relay's process or its session with the database ends, or stands still."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Relay, Shard
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.ownership import ownership_of
from tests.support.outbox import ALIAS
from tests.support.polling import wait_until

ALL = frozenset(range(SHARDS))

PROGRAM = """
import json, sys, time
import django
from django.conf import settings
from tests.support.mariadb import provide_driver

provide_driver()
settings.configure(
    DATABASES={"default": json.loads(sys.argv[1])},
    INSTALLED_APPS=["rele", "rele.contrib.outbox"],
    USE_TZ=True,
)
django.setup()
from django.db import Error
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.ownership import ownership_of

ownership = ownership_of("default", float(sys.argv[2]), DatabaseClock("default"))
ownership.begin()
said = None
while True:
    try:
        # Asked before a call that could renew them, as before a request.
        relied_on = sorted(ownership.shards)
        if relied_on != said:
            print(json.dumps([ownership.name, relied_on]), flush=True)
            said = relied_on
        ownership.tend()
        ownership.release(ownership.wants_to_release)
    except Error:
        ownership.disconnect()
    time.sleep(0.02)
"""


class Other:
    """A process with a relay's ownership.

    Args:
        lease: seconds.
    """

    def __init__(self, lease: float) -> None:
        database = {
            key: connections.settings[ALIAS][key]
            for key in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(database), str(lease)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[5],
        )
        self.name, self.shards = self.says()

    def says(self) -> tuple[str, frozenset[int]]:
        """Its name, and what it relies on now; waits until that has changed."""
        assert self.process.stdout is not None
        name, shards = json.loads(self.process.stdout.readline())
        return name, frozenset(shards)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(shared: str) -> Iterator[Callable[[float], Other]]:
    """Start a process that has all shards."""
    others: list[Other] = []

    def start(lease: float) -> Other:
        other = Other(lease)
        others.append(other)
        assert other.shards == ALL
        return other

    yield start
    for other in others:
        other.end()


def seconds_until_all_are_taken(lease: float = 30) -> float:
    """How long this process needs to take all shards from one that is there already."""
    ownership = ownership_of(ALIAS, lease, DatabaseClock(ALIAS))
    started = time.monotonic()
    ownership.begin()
    try:
        while ownership.shards != ALL:
            assert time.monotonic() < started + lease + 10
            time.sleep(max(0, ownership.next_due - time.monotonic()))
            ownership.tend()
        return time.monotonic() - started
    finally:
        ownership.end()


def test_what_a_killed_relay_had_is_taken_within_two_seconds(
    start: Callable[[float], Other],
) -> None:
    other = start(30)
    other.process.kill()
    other.process.wait(20)

    assert seconds_until_all_are_taken() < 2


def test_what_others_know_of_a_killed_relay_is_forgotten(start: Callable[[float], Other]) -> None:
    start(30).process.kill()
    ownership = ownership_of(ALIAS, 30, DatabaseClock(ALIAS))
    ownership.begin()

    def is_alone() -> bool:
        ownership.tend()
        return [relay.name for relay in Relay.objects.using(ALIAS)] == [ownership.name]

    wait_until(is_alone, 5)
    ownership.end()


def sessions(kind: str) -> set[int]:
    """Those with the database, without this thread's."""
    queries = {
        "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid != pg_backend_pid()",
        "mysql": "SELECT id FROM information_schema.processlist WHERE db = database()"
        " AND id != CONNECTION_ID()",
    }
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(queries[kind])
        return {session for (session,) in cursor.fetchall()}


def terminate(kind: str, session: int) -> None:
    statement = "SELECT pg_terminate_backend(%s)" if kind == "postgresql" else "KILL %s"
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement, [session])


def test_one_whose_connection_is_terminated_relies_on_nothing_and_comes_back(
    start: Callable[[float], Other],
) -> None:
    kind = connections[ALIAS].vendor
    before = sessions(kind)
    other = start(30)
    [session] = sessions(kind) - before
    terminate(kind, session)

    assert other.says() == (other.name, frozenset())
    assert other.says() == (other.name, ALL)
    assert sessions(kind) - before != {session}


def test_one_that_is_terminated_and_cannot_come_back_makes_room_within_two_seconds(
    start: Callable[[float], Other],
) -> None:
    """Its process is suspended, which its session does not show."""
    kind = connections[ALIAS].vendor
    before = sessions(kind)
    other = start(30)
    [session] = sessions(kind) - before
    other.process.send_signal(signal.SIGSTOP)
    terminate(kind, session)

    assert seconds_until_all_are_taken() < 2


def test_one_that_is_suspended_past_its_lease_notices_before_it_does_anything(
    start: Callable[[float], Other],
) -> None:
    other = start(3)
    other.process.send_signal(signal.SIGSTOP)

    taken_after = seconds_until_all_are_taken(lease=3)
    assert 1 < taken_after < 5, "only its leases tell that it stands still"

    other.process.send_signal(signal.SIGCONT)
    assert other.says() == (other.name, frozenset()), "asked first, before it renews anything"
    assert other.says() == (other.name, ALL), "this process has released them"


@pytest.mark.usefixtures("mariadb")
def test_a_lock_of_another_server_of_a_cluster_is_not_taken_for_free() -> None:
    """Behind the address of a cluster each connection may lead to another server."""
    ownership = ownership_of(ALIAS, 30, DatabaseClock(ALIAS))
    ownership.begin()
    own = Relay.objects.using(ALIAS).get().session_lock
    assert own is not None
    ownership.end()
    now = timezone.now()
    for name, number in (("here", own + 1), ("elsewhere", own ^ 1 << 60)):
        Relay.objects.using(ALIAS).create(name=name, seen_at=now, session_lock=number)
    for shard in Shard.objects.using(ALIAS):
        shard.holder = "here" if shard.number % 2 else "elsewhere"
        shard.expires_at = now + timedelta(seconds=30)
        shard.save()

    ownership = ownership_of(ALIAS, 30, DatabaseClock(ALIAS))
    ownership.begin()

    assert ownership.shards == {number for number in ALL if number % 2}
    ownership.end()


def test_the_share_of_one_that_comes_is_released_for_it(start: Callable[[float], Other]) -> None:
    other = start(30)
    ownership: Any = ownership_of(ALIAS, 30, DatabaseClock(ALIAS))
    ownership.begin()
    try:

        def has_half() -> bool:
            ownership.tend()
            return len(ownership.shards) == SHARDS / 2

        wait_until(has_half, 5)
        assert len(other.says()[1]) == SHARDS / 2
        held = Shard.objects.using(ALIAS).filter(holder=other.name)
        assert {shard.number for shard in held} == ALL - ownership.shards
    finally:
        ownership.end()
