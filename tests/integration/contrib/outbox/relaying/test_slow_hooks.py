"""Hooks and backends that keep the relay's thread: its leases, and what others do meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

import pytest

import rele
from rele.backends import Message
from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Shard
from rele.contrib.outbox.relaying.relay import OutboxRelay
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, running, waiting
from tests.support.polling import wait_until
from tests.support.recorder import Recorder

pytestmark = pytest.mark.usefixtures("postgres")

MakeRelay = Callable[..., OutboxRelay]


def lease() -> datetime:
    """When the first of the leases ends."""
    return min(shard.expires_at for shard in Shard.objects.using(ALIAS))


def test_leases_are_renewed_between_two_hooks(
    make_relay: MakeRelay, servers: FakePubSub, hooks: Recorder
) -> None:
    """All of them together take longer than a lease."""
    calls, may_go_on = [], threading.Semaphore(0)

    def wait(*arguments: Any) -> None:
        calls.append(arguments)
        assert may_go_on.acquire(timeout=20)

    hooks.actions["post_publish_success"] = wait
    rele.publish_many("orders", range(3))
    with running(make_relay(lease=3)):
        wait_until(lambda: len(calls) == 1, 20)
        before = lease()
        # The second hook begins after more than the second in which leases are looked at.
        threading.Event().wait(1.1)
        may_go_on.release()
        wait_until(lambda: len(calls) == 2, 20)
        assert lease() > before
        may_go_on.release(2)
        wait_until(lambda: not waiting(), 20)


def test_leases_are_renewed_and_looked_at_between_two_requests(make_relay: MakeRelay) -> None:
    """Messages that were refused before are sent each in a request of its own."""

    class Slow(FakePubSub):
        def send(self, messages: Sequence[Message]) -> list[Future[str]]:
            if not self.errors:
                threading.Event().wait(1.1)
                leases.append(lease())
            return super().send(messages)

    leases: list[datetime] = []
    backend = Slow()
    backend.errors = {str(number): REFUSED for number in range(3)}
    rele.publish_many("orders", range(3))
    with running(make_relay(backend, lease=3)):
        wait_until(lambda: all(row.attempts for row in waiting()), 20)
        backend.errors.clear()
        wait_until(lambda: not waiting(), 20)

    assert len(leases) >= 3
    assert len(set(leases)) > 1


def test_a_hook_that_blocks_for_longer_than_the_lease_is_named_and_another_relay_goes_on(
    make_relay: MakeRelay,
    servers: FakePubSub,
    hooks: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_blocked, may_go_on = threading.Event(), threading.Event()

    def block(*arguments: Any) -> None:
        if not is_blocked.is_set():
            is_blocked.set()
            assert may_go_on.wait(30)

    hooks.actions["post_publish_success"] = block
    rele.publish("orders", 1)
    first, second = make_relay(lease=2), make_relay(lease=2)
    with running(first):
        assert is_blocked.wait(20)
        with running(second):
            rele.publish_many("orders", [(n, {"ordering_key": f"k{n}"}) for n in range(2, 30)])
            wait_until(lambda: not waiting(), 20)
            held = Shard.objects.using(ALIAS).filter(holder=second.name)
            wait_until(lambda: held.count() == SHARDS, 20)
            may_go_on.set()
            wait_until(lambda: "A hook has kept the relay" in caplog.text, 20)

    assert sorted(map(int, servers.data)) == list(range(1, 30))
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(first.name in text and "sent again" in text for text in warnings)
