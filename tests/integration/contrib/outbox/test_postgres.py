"""Relays that share their work, and a server that comes and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

import rele
from rele.backends import Message
from rele.contrib.outbox import waking
from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import OutboxMessage, Relay, Shard, State
from rele.contrib.outbox.relaying import presence
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.contrib.outbox.relaying.waiting import RelayWaiter
from rele.contrib.outbox.upkeep import discard, purge, retry
from tests.integration.contrib.outbox.conftest import terminate_all_connections
from tests.support.backends import HeldBackend
from tests.support.inbox import Inbox
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread, waiting
from tests.support.polling import wait_until
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("postgres")

MakeRelay = Callable[..., OutboxRelay]


class Blocked(FakePubSub):
    """Accepts nothing before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.may_answer = threading.Event()

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        self.asked.set()
        assert self.may_answer.wait(20)
        return super().send(messages)


@pytest.fixture
def first(make_relay: MakeRelay) -> Iterator[Callable[..., Blocked]]:
    """Let a first relay send what waits now, and wait until its backend may answer."""
    threads = []

    def begin(batch_size: int = 1000) -> Blocked:
        backend = Blocked()
        threads.append((backend, InThread(make_relay(backend, batch_size).run_once)))
        assert backend.asked.wait(20)
        return backend

    yield begin
    for backend, thread in threads:
        backend.may_answer.set()
        thread.join()


class TestTwoRelays:
    def test_none_sends_what_is_in_a_shard_of_the_other(
        self, first: Callable[..., Blocked], make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        rele.publish_many("orders", [(n, {"ordering_key": "a"}) for n in range(4)])
        other = first(batch_size=2)
        rele.publish("orders", 4, ordering_key="a")

        assert make_relay().run_once() == Tally(0, 0)

        other.may_answer.set()
        wait_until(lambda: not waiting(), 20)
        assert other.data == ["0", "1", "2", "3", "4"]
        assert servers.data == []

    def test_a_second_one_gets_its_share_once_what_is_outstanding_has_its_outcome(
        self, make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        held = HeldBackend()
        relays = [make_relay(held), make_relay()]
        keys = [f"customer-{n}" for n in range(100)]  # some in each shard
        rele.publish_many("orders", [(0, {"ordering_key": key}) for key in keys])
        threads = [InThread(relays[0].run)]
        try:
            wait_until(lambda: len(held.messages) == len(keys), 20)
            threads.append(InThread(relays[1].run))
            wait_until(lambda: relays[0]._ownership.wants_to_release, 20)
            assert Shard.objects.using(ALIAS).filter(holder=relays[0].name).count() == SHARDS
            assert servers.data == []

            held.settle_the_rest()
            wait_until(
                lambda: Shard.objects.using(ALIAS).filter(holder=relays[1].name).count() == 8, 20
            )
            rele.publish_many("orders", [(1, {"ordering_key": key}) for key in keys])
            wait_until(lambda: not waiting(), 20)
        finally:
            for relay, thread in zip(relays, threads, strict=False):
                relay.stop()
                thread.join()

        assert len(held.messages) + len(servers.accepted) == 200
        assert 0 < len(servers.accepted) < 100
        assert set(servers.data) == {"1"}

    def test_a_key_goes_on_with_any_relay(
        self, first: Callable[..., Blocked], make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        rele.publish("orders", 1, ordering_key="a")
        other = first()
        rele.publish("orders", 2, ordering_key="a")
        other.may_answer.set()

        deadline = time.monotonic() + 20
        while waiting() and time.monotonic() < deadline:
            make_relay().run_once()

        assert [*other.data, *servers.data] == ["1", "2"]

    def test_a_key_whose_first_message_failed_elsewhere_is_left(
        self, first: Callable[..., Blocked], make_relay: MakeRelay, servers: FakePubSub
    ) -> None:
        rele.publish_many("orders", [(n, {"ordering_key": "a"}) for n in range(4)])
        other = first(batch_size=2)
        other.errors["0"] = REFUSED
        second = Blocked()
        thread = InThread(make_relay(second).run_once)
        other.may_answer.set()
        second.may_answer.set()
        thread.join()

        assert (other.data, second.data, servers.data) == ([], [], [])
        assert [row.attempts for row in waiting()] == [1, 0, 0, 0]

    def test_every_key_is_in_order_and_nothing_is_sent_twice(self, make_relay: MakeRelay) -> None:
        keys, each = 20, 15
        for number in range(each):
            rele.publish_many(
                "orders", [(f"{key}-{number}", {"ordering_key": f"k{key}"}) for key in range(keys)]
            )
        accepted: list[str] = []
        lock = threading.Lock()

        class Shared(FakePubSub):
            def send(self, messages: Sequence[Message]) -> list[Future[str]]:
                with lock:
                    accepted.extend(message.json() for message in messages)
                return super().send(messages)

        def relay() -> None:
            while OutboxMessage.objects.using(ALIAS).exists():
                make_relay(Shared(), batch_size=7).run_once()

        for thread in [InThread(relay) for _ in range(3)]:
            thread.join()

        numbers: dict[int, list[int]] = {key: [] for key in range(keys)}
        for text in accepted:
            key, number = map(int, text.split("-"))
            numbers[key].append(number)
        assert numbers == {key: list(range(each)) for key in range(keys)}


@pytest.fixture
def locked(postgres: None) -> Iterator[None]:
    """Another transaction is open that has locked the first message; nobody waits for a lock."""
    locked, may_end = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic(using=ALIAS):
            assert OutboxMessage.objects.using(ALIAS).select_for_update().first()
            locked.set()
            assert may_end.wait(60)

    rele.publish_many("orders", [1, 2])
    OutboxMessage.objects.using(ALIAS).update(state=State.DELAYED)
    thread = InThread(lock)
    assert locked.wait(20)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield
    may_end.set()
    thread.join()
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("RESET lock_timeout")


@pytest.mark.usefixtures("locked")
class TestWhatAnotherTransactionHasLocked:
    @pytest.mark.parametrize("change", [retry, discard, lambda rows: sum(purge(rows))])
    def test_is_passed_over_by_who_looks_after_the_outbox(
        self, change: Callable[[Any], int]
    ) -> None:
        assert change(OutboxMessage.objects.using(ALIAS).all()) == 1

        assert "1" in [bytes(row.data).decode() for row in waiting()]


def test_nothing_is_sent_that_has_not_committed(make_relay: MakeRelay, servers: FakePubSub) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic(using=ALIAS):
            rele.publish("orders", 1)
            begun.set()
            assert may_end.wait(20)

    writer = InThread(write)
    assert begun.wait(20)
    assert make_relay().run_once() == Tally(0, 0)
    may_end.set()
    writer.join()

    assert make_relay().run_once() == Tally(1, 0)


class TestWaking:
    @pytest.fixture
    def listening(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[RelayWaiter]:
        """Would wait for a minute by itself."""
        monkeypatch.setattr(waking, "LONG_POLL", 60)
        monkeypatch.setattr(waking._notifier, "_last", {})
        waiter = RelayWaiter(ALIAS)
        waiter.open()
        assert waiter.listen()
        assert not waiter.listen()
        yield waiter
        waiter.close()

    def test_a_commit_ends_the_wait(self, listening: RelayWaiter) -> None:
        def publish() -> None:
            with transaction.atomic(using=ALIAS):
                rele.publish("orders", 1)

        thread = InThread(publish)

        assert listening.wait(30)
        thread.join()

    def test_so_does_an_outcome(self, listening: RelayWaiter) -> None:
        began = time.monotonic()
        thread = InThread(listening.wake)

        assert not listening.wait(30)

        assert time.monotonic() - began < 20
        thread.join()

    def test_a_connection_of_a_pool_listens_no_more(self, listening: RelayWaiter) -> None:
        listening.close()

        with connections[ALIAS].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_listening_channels()")
            assert cursor.fetchone() == (0,)

    def test_only_a_commit_does(self, listening: RelayWaiter) -> None:
        sent: list[Any] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(waking, "_notify", sent.append)
            with transaction.atomic(using=ALIAS):
                rele.publish("orders", 1)
                transaction.set_rollback(True, using=ALIAS)
            assert sent == []
            rele.publish("orders", 1)
            assert len(sent) == 1

    def test_many_commits_are_few_notifications(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(waking, "NOTIFY_INTERVAL", 60)
        monkeypatch.setattr(waking._notifier, "_last", {})
        with closing(connections[ALIAS].copy()) as listener:
            with listener.cursor() as cursor:
                cursor.execute(f"LISTEN {waking.CHANNEL}")
            for number in range(10):
                rele.publish("orders", number)
            heard = list(listener.connection.notifies(timeout=0.2))

        assert len(heard) == 1

    def test_a_notification_that_fails_does_not_fail_the_commit(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(connection: Any) -> None:
            raise RuntimeError("no notification")

        monkeypatch.setattr(waking, "_notify", fail)

        rele.publish("orders", 1)

        assert len(waiting()) == 1
        assert "no notification" in caplog.text


def test_the_relay_lives_on_when_its_connections_are_closed(
    make_relay: MakeRelay,
    hooks: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    postgres_database: dict[str, Any],
) -> None:
    sent, listens = Inbox(), Inbox()
    hooks.actions["post_publish_success"] = lambda topic, data, attributes: sent.put(data)
    listen = RelayWaiter.listen

    def note_listening(waiter: RelayWaiter) -> bool:
        is_new = listen(waiter)
        if is_new:
            listens.put(1)
        return is_new

    monkeypatch.setattr(RelayWaiter, "listen", note_listening)
    relay = make_relay()
    thread = InThread(relay.run)
    try:
        rele.publish("orders", 1)
        sent.wait_for(1)
        listens.wait_for(1)

        terminate_all_connections(postgres_database)
        before = timezone.now()
        connections[ALIAS].close()  # the publisher's
        rele.publish("orders", 2)

        sent.wait_for(2)
        listens.wait_for(2)
        deadline = time.monotonic() + 20
        while not Relay.objects.using(ALIAS).filter(seen_at__gt=before).exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)  # the database notifies nobody
    finally:
        relay.stop()
        thread.join()


def test_forgets_relays_that_are_long_gone(make_relay: MakeRelay) -> None:
    for name, age in (("old", timedelta(days=2)), ("killed", timedelta(hours=1))):
        Relay.objects.using(ALIAS).create(name=name, seen_at=timezone.now() - age)

    make_relay().run_once()

    assert [relay.name for relay in Relay.objects.using(ALIAS).all()] == ["killed"]


def test_several_are_present(make_relay: MakeRelay) -> None:
    Relay.objects.using(ALIAS).create(name="other:1")
    relay = make_relay()
    relay.begin()
    try:
        assert set(presence.present_relays(ALIAS)) == {"other:1", relay.name}
    finally:
        relay.stop()
        relay.run()

    assert presence.present_relays(ALIAS) == ["other:1"]


def test_relays_of_one_process_come_and_go_apart_from_each_other(make_relay: MakeRelay) -> None:
    relays = [make_relay() for _ in range(4)]
    have_begun = threading.Barrier(len(relays) + 1)
    may_end = threading.Event()

    def come_and_go(relay: OutboxRelay) -> None:
        """In one thread, whose session shows that the relay is running."""
        relay.begin()
        have_begun.wait(20)
        assert may_end.wait(20)
        if relay is not relays[0]:
            relay.end()

    threads = [InThread(partial(come_and_go, relay)) for relay in relays]
    have_begun.wait(20)
    assert set(presence.present_relays(ALIAS)) == {relay.name for relay in relays}

    may_end.set()
    for thread in threads:
        thread.join()

    assert presence.present_relays(ALIAS) == [relays[0].name]
    relays[0].end()
