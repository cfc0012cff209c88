"""The rules bite: each of these breaks the engine on purpose, and a seed finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.lease_keeper import LeaseKeeper
from rele.engine.native.consuming.ordered_keys import OrderedKeys
from rele.engine.native.consuming.ordered_step import Step
from rele.engine.native.consuming.pull_streams import PullStreams
from rele.engine.native.consuming.renewals import Renewals
from rele.engine.native.consuming.settled_queue import SettledQueue
from tests.simulation import worker
from tests.simulation.world import play_seed

Break = Callable[[pytest.MonkeyPatch], None]

SEEDS = 200


def begin_lost_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with messages whose leases are known to have ended."""

    def begin(self: ConsumeCore, delivery: Any, now: float) -> bool:
        delivery.begun_at = now
        return True

    monkeypatch.setattr(ConsumeCore, "begin", begin)


def ignore_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handle the messages of a key as if it had none."""

    def make_ready(self: Any, deliveries: Any, now: float) -> None:
        self._ready += deliveries

    monkeypatch.setattr(ConsumeCore, "_make_ready", make_ready)


def go_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handle what follows a failed message of a key, as Google's client does."""

    def fail(self: OrderedKeys, delivery: Any, now: float, *_: Any, **__: Any) -> Step:
        return self.succeed(delivery, now)

    monkeypatch.setattr(OrderedKeys, "fail", fail)


def overtake_extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send a delay while an extension of the message is under way."""
    settle, add = LeaseKeeper.settle, SettledQueue.add
    sent: set[Any] = set()

    def settle_at_once(self: LeaseKeeper, delivery: Any, settled: Any, now: float) -> None:
        delivery.is_being_extended = False
        settle(self, delivery, settled, now)

    def add_once(self: SettledQueue, deliveries: Any, settled: Any, now: float) -> None:
        fresh = [delivery for delivery in deliveries if delivery not in sent]
        sent.update(fresh)
        add(self, fresh, settled, now)

    monkeypatch.setattr(LeaseKeeper, "settle", settle_at_once)
    monkeypatch.setattr(SettledQueue, "add", add_once)


def renew_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extend no lease after the first time."""
    monkeypatch.setattr(Renewals, "add", lambda self, delivery, at: None)


def forget_other_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a larger stream as if what the old one has delivered did not count."""
    monkeypatch.setattr(PullStreams, "_room", lambda self: self._flow.most)


def ignore_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for handlers at a stop for as long as they run."""
    drain = worker.Worker._drain

    def drain_for_long(self: Any, timeout: float) -> None:
        drain(self, timeout)
        self._deadline = float("inf")

    monkeypatch.setattr(worker.Worker, "_drain", drain_for_long)


BROKEN: list[tuple[Break, str]] = [
    (begin_lost_leases, "LeaseHeld"),
    (ignore_keys, "InOrder"),
    (go_on_after_a_failure, "InOrder"),
    (overtake_extensions, "LastWord"),
    (renew_no_lease, "HandledOnce"),
    (forget_other_streams, "Bounded"),
    (ignore_the_deadline, "StopsInTime"),
]


@pytest.mark.parametrize(
    ("break_it", "rule"), BROKEN, ids=[break_it.__name__ for break_it, _ in BROKEN]
)
def test_a_broken_engine_is_found_within_some_seeds(
    break_it: Break, rule: str, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    break_it(monkeypatch)

    for seed in range(SEEDS):
        if any(text.startswith(rule) for text in play_seed(seed).broken):
            print(f"{break_it.__name__}: seed {seed} finds it, by {rule}")
            record_property("seed", seed)
            return
    pytest.fail(f"none of {SEEDS} seeds finds it")
