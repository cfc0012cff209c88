"""Messages that are sent later or cancelled, on real databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone as django_timezone

import rele
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying import promoting
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.promoting import next_due, promote
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from tests.integration.contrib.outbox.test_transactions import in_a_loop
from tests.support.outbox import ALIAS, FakePubSub, InThread, waiting

pytestmark = pytest.mark.usefixtures("database")

MakeRelay = Callable[..., OutboxRelay]

HOUR, PAST = timedelta(hours=1), timedelta(seconds=-1)

REPOSITORY = Path(__file__).parents[4]


def now() -> datetime:
    return DatabaseClock(ALIAS).now()


def let_all_be_due() -> None:
    OutboxMessage.objects.using(ALIAS).filter(state=State.SCHEDULED).update(
        next_attempt_at=now() - timedelta(milliseconds=1)
    )


def states() -> list[State]:
    return [State(row.state) for row in waiting()]


class TestInATransaction:
    def test_it_commits_with_the_transaction_and_is_sent_when_it_is_due(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        with transaction.atomic(using=ALIAS):
            scheduled = rele.publish_later("orders", {"id": 42}, when=HOUR, country="ES")

        [row] = waiting()
        assert (row.state, row.event_id) == (State.SCHEDULED, scheduled.event_id)
        assert make_relay().run_once() == Tally(0, 0)

        let_all_be_due()
        assert make_relay().run_once() == Tally(1, 0)

        [message] = servers.accepted
        assert message.json() == {"id": 42}
        assert message.attributes.keys() == {"country", "event_id", "published_at"}
        assert message.attributes["event_id"] == scheduled.event_id
        assert not scheduled.cancel()

    def test_what_is_rolled_back_was_never_scheduled(self) -> None:
        with transaction.atomic(using=ALIAS):
            scheduled = rele.publish_later("orders", 1, when=HOUR)
            transaction.set_rollback(True, using=ALIAS)

        assert waiting() == []
        assert not scheduled.cancel()

    def test_what_is_refused_leaves_the_transaction_usable(self) -> None:
        with transaction.atomic(using=ALIAS):
            with pytest.raises(ValueError, match="NUL"):
                rele.publish_later("orders", 1, when=HOUR, note="\0")
            with pytest.raises(ValueError, match="out of the range of dates"):
                rele.publish_later("orders", 1, when=timedelta.max)
            rele.publish_later("orders", 2, when=HOUR)

        assert [bytes(row.data) for row in waiting()] == [b"2"]

    @pytest.mark.parametrize("rolled_back", [False, True])
    def test_cancelling_counts_from_the_commit(self, rolled_back: bool) -> None:
        scheduled = rele.publish_later("orders", 1, when=HOUR)

        with transaction.atomic(using=ALIAS):
            assert scheduled.cancel()
            transaction.set_rollback(rolled_back, using=ALIAS)

        assert states() == [State.SCHEDULED] * rolled_back
        assert rele.cancel_scheduled(scheduled.event_id) is rolled_back

    def test_it_may_be_cancelled_in_the_transaction_that_has_scheduled_it(self) -> None:
        with transaction.atomic(using=ALIAS):
            assert rele.publish_later("orders", 1, when=HOUR).cancel()

        assert waiting() == []

    def test_without_autocommit(self) -> None:
        transaction.set_autocommit(False, using=ALIAS)
        try:
            kept = rele.publish_later("orders", 1, when=HOUR)
            transaction.commit(using=ALIAS)
            rele.publish_later("orders", 2, when=HOUR)
            assert kept.cancel()
        finally:
            transaction.rollback(using=ALIAS)
            transaction.set_autocommit(True, using=ALIAS)

        assert [row.event_id for row in waiting()] == [kept.event_id]


class TestCancelling:
    def test_what_is_due_but_not_promoted_can_be_cancelled(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        scheduled = rele.publish_later("orders", 1, when=PAST)

        assert scheduled.cancel()

        make_relay().run_once()
        assert servers.data == []

    def test_what_is_promoted_cannot_be_cancelled(self) -> None:
        scheduled = rele.publish_later("orders", 1, when=PAST)
        promote(ALIAS, now())

        assert not scheduled.cancel()

        assert states() == [State.WAITING]

    def test_what_is_not_scheduled_is_left_alone(self) -> None:
        event_id = rele.publish("orders", 1).result(0)

        for each in (event_id, "unknown", "a\0b", ""):
            assert not rele.cancel_scheduled(each)

        assert states() == [State.WAITING]

    @pytest.mark.parametrize("other", ["event", "EVENT", "Évent", "Event ", "Even", "_vent"])
    def test_an_id_is_compared_exactly(self, other: str) -> None:
        rele.publish_later("orders", 1, when=HOUR, event_id="Event")

        assert not rele.cancel_scheduled(other)
        assert rele.cancel_scheduled("Event")

    def test_the_receivers_of_signals_change_nothing(self) -> None:
        from django.db.models.signals import post_delete

        post_delete.connect(receiver := lambda **_: None)
        try:
            assert rele.publish_later("orders", 1, when=HOUR).cancel()
        finally:
            post_delete.disconnect(receiver)

        assert waiting() == []

    def test_by_another_process(self) -> None:
        scheduled = rele.publish_later("orders", 1, when=HOUR)

        assert cancelled_elsewhere(scheduled.event_id) == [True, False]

        assert waiting() == []
        assert not scheduled.cancel()

    def test_of_a_cancellation_and_a_promotion_exactly_one_wins(self) -> None:
        ids = [rele.publish_later("orders", n, when=PAST).event_id for n in range(60)]
        start = threading.Barrier(2)

        def promote_each() -> None:
            start.wait(20)
            for shard in range(16):
                promote(ALIAS, now(), {shard})

        promoting = InThread(promote_each)
        start.wait(20)
        cancelled = {event_id for event_id in reversed(ids) if rele.cancel_scheduled(event_id)}
        promoting.join()

        left = {row.event_id: State(row.state) for row in waiting()}
        promoted = set(left)
        promote(ALIAS, now())
        assert promoted.isdisjoint(cancelled)
        assert promoted | cancelled == set(ids)
        assert set(states()) <= {State.WAITING}


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
@pytest.mark.parametrize("rolled_back", [False, True])
def test_a_transaction_that_cancels_and_stays_open_delays_nothing_else(rolled_back: bool) -> None:
    scheduled = rele.publish_later("orders", 1, when=PAST)
    other = rele.publish_later("orders", 2, when=PAST)

    def promote_all() -> None:
        promoted.append(len(promote(ALIAS, now())))

    promoted: list[int] = []
    with transaction.atomic(using=ALIAS):
        assert scheduled.cancel()
        InThread(promote_all).join()
        transaction.set_rollback(rolled_back, using=ALIAS)

    assert promoted == [1]
    assert not other.cancel()
    assert scheduled.cancel() is rolled_back


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_however_many_it_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promoting, "CHUNK", 2)
    cancelled = [rele.publish_later("orders", n, when=2 * PAST) for n in range(4)]
    rele.publish_later("orders", 4, when=PAST)
    promoted: list[int] = []
    with transaction.atomic(using=ALIAS):
        assert all(each.cancel() for each in cancelled)
        InThread(lambda: promoted.extend(promote(ALIAS, now()))).join()

    assert len(promoted) == 1


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_cancelling_waits_for_no_transaction_that_is_about_other_messages() -> None:
    first, second = (rele.publish_later("orders", n, when=HOUR) for n in range(2))
    with transaction.atomic(using=ALIAS):
        assert first.cancel()
        other = InThread(second.cancel)
        other.join()

    assert waiting() == []


@pytest.fixture(params=["read committed", "repeatable read", "serializable"])
def level(request: pytest.FixtureRequest, database: str) -> Iterator[str]:
    """The isolation level of all transactions, as the settings have it."""
    given: Any = request.param
    if database == "postgres":
        from psycopg import IsolationLevel

        given = IsolationLevel[request.param.replace(" ", "_").upper()]
    connections[ALIAS].close()
    settings = connections[ALIAS].settings_dict
    before = settings["OPTIONS"]
    settings["OPTIONS"] = {**before, "isolation_level": given}
    yield request.param
    connections[ALIAS].close()
    settings["OPTIONS"] = before
    connections[ALIAS].__dict__.pop("isolation_level", None)  # MySQL's is kept
    del connections[ALIAS]


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_at_each_isolation_level(database: str, level: str) -> None:
    """Of a transaction that has begun before a relay has found the message due."""
    scheduled = rele.publish_later("orders", 1, when=PAST)
    promoted: list[int] = []
    cancelled = None
    with suppress(OperationalError), transaction.atomic(using=ALIAS):
        assert len(waiting()) == 1
        InThread(lambda: promoted.extend(promote(ALIAS, now()))).join()
        rele.publish("orders", 2)
        cancelled = scheduled.cancel()

    if database == "postgres" and level != "read committed":
        assert cancelled is None, "it cannot be serialized"
        assert [bytes(row.data) for row in waiting()] == [b"1"]
    elif database == "mariadb" and level == "serializable":
        # Reading has locked it, so that the relay has left it for later.
        assert (cancelled, promoted) == (True, [])
        assert [bytes(row.data) for row in waiting()] == [b"2"]
    else:
        assert cancelled is False
        assert [bytes(row.data) for row in waiting()] == [b"1", b"2"]
    assert not scheduled.cancel()


class TestOrder:
    def test_a_scheduled_message_holds_back_nothing_of_its_key(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        rele.publish_later("orders", 1, when=HOUR, ordering_key="a")
        rele.publish("orders", 2, ordering_key="a")

        assert make_relay().run_once() == Tally(1, 0)
        let_all_be_due()
        rele.publish("orders", 3, ordering_key="a")
        make_relay().run_once()

        assert servers.data == ["2", "1", "3"]

    def test_the_places_of_many_that_are_due_at_once_are_read_together(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        for number in range(30):
            rele.publish_later("orders", number, when=HOUR, ordering_key=f"{number % 3}")
        let_all_be_due()
        relay = make_relay()
        with CaptureQueriesContext(connections[ALIAS]) as statements:
            assert relay.run_once() == Tally(30, 0)

        of_places = [each for each in statements if "created_at" in each["sql"]]
        assert 0 < len(of_places) <= 3
        for key in range(3):
            of_key = [number for number in map(int, servers.data) if number % 3 == key]
            assert of_key == list(range(key, 30, 3))

    def test_it_joins_its_key_when_it_is_due(self) -> None:
        rele.publish_later("orders", 1, when=PAST, ordering_key="a")
        rele.publish_later("orders", 2, when=HOUR, ordering_key="a")
        [first, second] = waiting()
        assert first.lane == second.lane is not None

        assert promote(ALIAS, now(), {first.shard}) == [first.id]

        [first, second] = waiting()
        assert (first.state, first.committed_at) == (State.WAITING, first.next_attempt_at)
        assert (second.state, second.committed_at) == (State.SCHEDULED, None)

    def test_a_relay_promotes_what_is_in_its_shards(self) -> None:
        rele.publish_later("orders", 1, when=PAST, ordering_key="a")
        [row] = waiting()

        assert promote(ALIAS, now(), {(row.shard + 1) % 16}) == []
        assert next_due(ALIAS, {(row.shard + 1) % 16}) is None
        assert next_due(ALIAS, {row.shard}) == row.next_attempt_at


class TestDueTime:
    def test_a_running_relay_sends_it_soon_after_it_is_due(
        self, first: OutboxRelay, servers: FakePubSub
    ) -> None:
        thread = InThread(first.run)
        began = time.monotonic()
        rele.publish_later("orders", 1, when=timedelta(seconds=0.5))

        deadline = began + 20
        while OutboxMessage.objects.using(ALIAS).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)  # the database notifies nobody
        took = time.monotonic() - began
        first.stop()
        thread.join()

        assert took >= 0.5
        assert servers.data == ["1"]

    def test_a_datetime_is_taken_as_it_is(self) -> None:
        when = datetime(2040, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-12)))

        rele.publish_later("orders", 1, when=when)

        [row] = waiting()
        assert row.next_attempt_at == when

    def test_a_datetime_without_a_time_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"`when` has no time zone: datetime.datetime\(2040"):
            rele.publish_later("orders", 1, when=datetime(2040, 1, 1))

        assert waiting() == []

    @pytest.mark.parametrize("zone", [None, timezone.utc])
    def test_without_time_zones_a_time_is_the_projects(self, zone: Any, settings: Any) -> None:
        settings.USE_TZ = False
        settings.TIME_ZONE = "Asia/Tokyo"
        connections[ALIAS].close()
        try:
            rele.publish_later("orders", 1, when=datetime(2040, 1, 1, 12, tzinfo=zone))
            rele.publish_later("orders", 1, when=PAST)
            [row, due] = waiting()
            assert promote(ALIAS, now()) == [due.id]
        finally:
            connections[ALIAS].close()

        assert row.next_attempt_at == datetime(2040, 1, 1, 12 if zone is None else 21)

    @pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
    @pytest.mark.parametrize("skew", [-300, 300])
    def test_a_duration_counts_by_the_databases_clock(
        self, skew: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as wrong:
            real_time, real_now = time.time, django_timezone.now
            wrong.setattr(time, "time", lambda: real_time() + skew)
            wrong.setattr(django_timezone, "now", lambda: real_now() + timedelta(seconds=skew))
            rele.publish_later("orders", 1, when=timedelta(seconds=0))
            rele.publish_later("orders", 2, when=timedelta(seconds=100))

            promoted = promote(ALIAS, now())

        [first, second] = waiting()
        assert promoted == [first.id]
        assert second.next_attempt_at - first.next_attempt_at < timedelta(seconds=120)


class TestInAnEventLoop:
    def test_it_is_written_and_cancelled_in_the_transaction_of_the_orm_calls(self) -> None:
        from asgiref.sync import sync_to_async

        async def main() -> None:
            kept = await rele.apublish_later("orders", 1, when=HOUR)
            block = transaction.atomic(using=ALIAS)
            await sync_to_async(block.__enter__)()
            await rele.apublish_later("orders", 2, when=HOUR)
            assert await kept.acancel()
            await sync_to_async(transaction.set_rollback)(True, using=ALIAS)
            await sync_to_async(block.__exit__)(None, None, None)
            assert await rele.acancel_scheduled(kept.event_id)

        run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None] = in_a_loop
        run(main)

        assert waiting() == []


CANCEL = """
import json, os, sys
import django
from django.conf import settings
from tests.support import mariadb

mariadb.provide_driver()
settings.configure(
    DATABASES={"default": json.loads(os.environ["OUTBOX_DATABASE"])},
    INSTALLED_APPS=["rele", "rele.contrib.outbox"],
    USE_TZ=True,
    RELE={"MIDDLEWARE": [], "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend"},
)
django.setup()
import rele
print(json.dumps([rele.cancel_scheduled(sys.argv[1]) for _ in range(2)]))
"""


def cancelled_elsewhere(event_id: str) -> Any:
    """What another process is answered that cancels it twice."""
    kept = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    database = {key: connections[ALIAS].settings_dict[key] for key in kept}
    done = subprocess.run(
        [sys.executable, "-c", CANCEL, event_id],
        env={**os.environ, "OUTBOX_DATABASE": json.dumps(database), "DJANGO_SETTINGS_MODULE": ""},
        cwd=REPOSITORY,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def two_databases(database: str, tmp_path: Path) -> Iterator[str]:
    from django.core.management import call_command

    connections.settings["billing"] = {
        **connections.settings[ALIAS],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "billing.sqlite3"),
        "OPTIONS": {},
    }
    call_command("migrate", "rele_outbox", database="billing", verbosity=0)
    rele.setup(
        {
            "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
            "MIDDLEWARE": [],
            "OUTBOX": {"USING": [ALIAS, "billing"]},
        }
    )
    yield "billing"
    connections["billing"].close()
    del connections["billing"]
    del connections.settings["billing"]


def test_it_is_cancelled_in_whichever_database_it_is(two_databases: str) -> None:
    from rele.contrib.outbox import using

    with using(two_databases):
        event_id = rele.publish_later("orders", 1, when=HOUR).event_id
    assert OutboxMessage.objects.using(two_databases).count() == 1

    assert rele.cancel_scheduled(event_id)

    assert OutboxMessage.objects.using(two_databases).count() == 0
