"""Subscriptions that are paused, and get other threads, while a worker runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

import rele
from rele import Batch
from rele.config import Config
from rele.consuming.remote_control import RemoteControl
from rele.dead_letter_policy import DeadLetterPolicy
from rele.status.controls import SubscriptionControl
from rele.status.providers import STATUS
from rele.status.snapshot import Phase, Snapshot, SubscriptionStatus
from rele.subscription import Subscription
from rele.worker import Worker, make_worker
from tests.integration.conftest import stop
from tests.support.inbox import Inbox
from tests.support.polling import wait_until as polled_until

pytestmark = pytest.mark.both_engines()

PAUSED = SubscriptionControl(is_paused=True)


class Asked:
    """What is asked of subscriptions, which can be unreadable."""

    def __init__(self) -> None:
        self.now: Mapping[str, SubscriptionControl] = {}
        self.is_readable = True

    def __call__(self) -> Mapping[str, SubscriptionControl]:
        if not self.is_readable:
            raise ConnectionError("no database")
        return self.now


class Orders:
    """A handler whose messages end when the test says so."""

    def __init__(self) -> None:
        self.begun = Inbox()
        self.ended = Inbox()
        self.attempts: dict[int, list[int]] = {}
        self._may_end = threading.Event()
        self.subscription = Subscription(
            self._handle, "orders", dead_letter_policy=DeadLetterPolicy("dead", 5)
        )

    def let_end(self) -> None:
        self._may_end.set()

    def _handle(self, data: Any, **attrs: Any) -> None:
        attempt = rele.current_message().delivery_attempt
        self.attempts.setdefault(data, []).append(attempt)
        self.begun.put(data)
        assert self._may_end.wait(20)
        self.ended.put(data)


@pytest.fixture
def orders() -> Iterator[Orders]:
    orders = Orders()
    yield orders
    orders.let_end()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def pubsub(embedded_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    return embedded_server


@pytest.fixture
def run(
    configure: Callable[..., Config], asked: Asked, orders: Orders
) -> Iterator[Callable[..., Worker]]:
    """Start a worker that does what is asked; it is stopped when the test ends."""
    workers: list[Worker] = []

    def run(subscriptions: Sequence[Subscription] = (), **settings: Any) -> Worker:
        config = configure(THREADS_PER_SUBSCRIPTION=1, **settings)
        worker = make_worker(subscriptions or [orders.subscription], config)
        worker.remote_control = RemoteControl([asked], read_every=0.01)
        worker.setup()
        worker.start()
        workers.append(worker)
        return worker

    yield run
    orders.let_end()
    for worker in workers:
        stop(worker)


def wait_until(is_true: Callable[[], bool]) -> None:
    polled_until(is_true, 20, STATUS.snapshot, every=0.01)


def status(name: str = "orders") -> SubscriptionStatus:
    return next(each for each in STATUS.snapshot().subscriptions if each.name == name)


def test_a_pause_nacks_once_what_was_not_begun_and_lets_running_handlers_finish(
    run: Callable[..., Worker], asked: Asked, orders: Orders
) -> None:
    run()
    rele.publish_many("orders", range(6))
    (first,) = orders.begun.wait_for(1)
    wait_until(lambda: status().outstanding > 1)

    asked.now = {"orders": PAUSED}
    wait_until(lambda: status().streams == 0 and status().outstanding == 1)
    assert status().is_paused
    assert status().running == 1
    orders.let_end()
    wait_until(lambda: status().running == status().outstanding == 0)
    assert orders.ended.items == [first]

    asked.now = {}
    ended = orders.ended.wait_for(6)
    assert sorted(ended) == list(range(6))
    assert orders.attempts.pop(first) == [1]
    assert {len(attempts) for attempts in orders.attempts.values()} == {1}, "each was begun once"
    assert {attempts[0] for attempts in orders.attempts.values()} <= {1, 2}, "and nacked once"
    assert 2 in {attempts[0] for attempts in orders.attempts.values()}


def test_a_subscription_that_is_paused_at_the_start_is_not_opened(
    run: Callable[..., Worker], asked: Asked, orders: Orders
) -> None:
    others = Inbox()
    asked.now = {"orders": PAUSED}
    run([orders.subscription, Subscription(lambda data, **attrs: others.put(data), "others")])

    rele.publish("orders", 1)
    rele.publish("others", 2)
    others.wait_for(1)
    assert (status().streams, status().received, orders.begun.items) == (0, 0, [])
    wait_until(lambda: STATUS.snapshot().phase is Phase.CONSUMING)

    asked.now = {}
    assert orders.begun.wait_for(1) == [1]


def test_it_stays_paused_while_what_is_asked_cannot_be_read(
    run: Callable[..., Worker], asked: Asked, orders: Orders, lines: Inbox
) -> None:
    asked.now = {"orders": PAUSED}
    run()
    asked.is_readable = False
    lines.wait_until(lambda lines: any("no database" in line for line in lines))

    rele.publish("orders", 1).result(10)

    assert status().is_paused
    asked.is_readable = True
    lines.wait_until(lambda lines: any("can be read again" in line for line in lines))
    assert orders.begun.items == []


def test_a_worker_that_is_paused_stops_at_once(
    run: Callable[..., Worker], asked: Asked, orders: Orders
) -> None:
    run()
    asked.now = {"orders": PAUSED}
    wait_until(lambda: status().is_paused)
    # The end of the fixture stops it, with status 0.


def test_threads_are_added_and_taken_away_while_it_runs(
    run: Callable[..., Worker], asked: Asked, orders: Orders
) -> None:
    run()
    rele.publish_many("orders", range(10))
    orders.begun.wait_for(1)

    asked.now = {"orders": SubscriptionControl(threads=3)}
    orders.begun.wait_for(3)
    assert (status().threads, status().running) == (3, 3)

    asked.now = {}
    wait_until(lambda: status().threads == 1)
    orders.let_end()
    assert sorted(orders.ended.wait_for(10)) == list(range(10))
    wait_until(lambda: status().running == 0)


def test_the_snapshot_of_a_worker_counts(run: Callable[..., Worker], orders: Orders) -> None:
    worker = run()
    wait_until(lambda: STATUS.snapshot().phase is Phase.CONSUMING)
    assert STATUS.snapshot().complaints == ()
    assert status().idle_for is None

    rele.publish("orders", 1)
    orders.begun.wait_for(1)
    wait_until(lambda: status().longest_running > 0)
    shown = status()
    assert (shown.topic, shown.threads, shown.running) == ("orders", 1, 1)
    assert (shown.received, shown.outstanding, shown.redelivered) == (1, 1, 0)
    assert shown.outstanding_bytes > 0
    assert shown.streams == 1

    orders.let_end()
    wait_until(lambda: status().outstanding == status().running == 0)
    wait_until(lambda: status().idle_for is not None)
    stop(worker)
    assert _of_worker(STATUS.snapshot()) == (None, ())


def _of_worker(snapshot: Snapshot) -> tuple[Any, Any]:
    return snapshot.phase, snapshot.subscriptions


class TestOtherHandlers:
    """Of Relé's own engine: an ``async def``, and a handler of batches."""

    pytestmark = pytest.mark.only_engine("rele")

    def test_tasks_of_an_async_handler(self, run: Callable[..., Worker], asked: Asked) -> None:
        begun, ended = Inbox(), Inbox()
        may_end: list[asyncio.Event] = []

        async def handle(data: Any, **attrs: Any) -> None:
            may_end.append(asyncio.Event())
            begun.put((asyncio.get_running_loop(), may_end[-1]))
            await may_end[-1].wait()
            ended.put(data)

        run([Subscription(handle, "orders", threads=1)])
        rele.publish_many("orders", range(6))
        begun.wait_for(1)

        asked.now = {"orders": SubscriptionControl(threads=3)}
        begun.wait_for(3)
        assert (status().threads, status().running) == (3, 3)

        asked.now = {"orders": SubscriptionControl(is_paused=True, threads=3)}
        wait_until(lambda: status().streams == 0 and status().outstanding == 3)
        for loop, event in begun.items:
            loop.call_soon_threadsafe(event.set)
        ended.wait_for(3)
        wait_until(lambda: status().outstanding == status().running == 0)
        assert len(begun.items) == 3

        asked.now = {}
        begun.wait_for(4)
        wait_until(lambda: status().running == 1)
        for number in range(4, 7):
            loop, event = begun.wait_for(number)[-1]
            loop.call_soon_threadsafe(event.set)
            ended.wait_for(number)
        assert sorted(ended.items) == list(range(6))

    def test_a_handler_of_batches(self, run: Callable[..., Worker], asked: Asked) -> None:
        begun, ended, may_end = Inbox(), Inbox(), threading.Event()

        def handle(messages: Any) -> None:
            begun.put([each.data for each in messages])
            assert may_end.wait(20)
            for each in messages:
                ended.put(each.data)

        batch = Batch(max_messages=2, max_wait=0.01)
        run([Subscription(handle, "orders", batch=batch, flow="fixed")])
        rele.publish_many("orders", range(10))
        begun.wait_for(1)

        asked.now = {"orders": SubscriptionControl(threads=2)}
        running = begun.wait_for(2)
        wait_until(lambda: status().outstanding > sum(map(len, running)))
        asked.now = {"orders": SubscriptionControl(is_paused=True, threads=2)}
        wait_until(lambda: status().streams == 0)
        wait_until(lambda: status().outstanding == sum(map(len, running)))
        may_end.set()
        wait_until(lambda: status().outstanding == status().running == 0)
        assert len(begun.items) == 2

        asked.now = {}
        assert sorted(ended.wait_for(10)) == list(range(10))
