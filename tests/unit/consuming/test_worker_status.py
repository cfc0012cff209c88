"""What a worker contributes to the status of its process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rele.consuming.worker_status import WorkerStatus
from rele.status.providers import STATUS
from rele.status.snapshot import Phase, Probe, SubscriptionStatus


class Consumer:
    """How it consumes is what the test says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: dict[str, Any] = {}

    def status(self) -> SubscriptionStatus:
        return SubscriptionStatus(self.name, "", threads=2, **self.fields)


def plan(*names: str, handler_limit: float | None = None) -> Any:
    consumers = [
        SimpleNamespace(subscription=SimpleNamespace(name=name, topic=f"topic-of-{name}"))
        for name in names
    ]
    return SimpleNamespace(consumers=consumers, handler_limit=handler_limit)


def phase() -> Phase | None:
    return STATUS.snapshot().phase


def test_the_phases_of_a_worker_follow_each_other() -> None:
    orders, refunds = Consumer("orders"), Consumer("refunds")
    worker = WorkerStatus(plan("orders", "refunds"), lambda: 0.0)
    consumers: Any = [orders, refunds]
    assert phase() is None

    worker.begin()
    worker.begin()
    assert phase() is Phase.STARTING
    worker.consume(consumers)
    assert phase() is Phase.STARTING, "no stream is open yet"
    orders.fields, refunds.fields = {"streams": 1}, {"is_paused": True}
    assert phase() is Phase.CONSUMING
    orders.fields = {"streams": 0}
    assert phase() is Phase.CONSUMING, "streams end as a matter of course"
    worker.drain()
    assert phase() is Phase.DRAINING
    worker.end()
    worker.end()
    assert phase() is None


def test_each_subscription_has_to_have_had_a_stream_but_not_at_the_same_time() -> None:
    orders, refunds = Consumer("orders"), Consumer("refunds")
    worker = WorkerStatus(plan("orders", "refunds"), lambda: 0.0)
    consumers: Any = [orders, refunds]
    worker.begin()
    worker.consume(consumers)
    try:
        orders.fields = {"streams": 1}
        assert phase() is Phase.STARTING
        # Nobody has looked while it had one.
        orders.fields, refunds.fields = {"streams": 0}, {"streams": 0, "received": 3}
        assert phase() is Phase.CONSUMING
    finally:
        worker.end()


@pytest.fixture
def worker() -> Any:
    worker = WorkerStatus(plan("orders", handler_limit=10.0), lambda: 5.0)
    worker.begin()
    yield worker
    worker.end()


def test_it_shows_each_subscription_with_its_topic_and_what_is_wrong(worker: Any) -> None:
    orders = Consumer("orders")
    orders.fields = {"streams": 1, "longest_running": 11.0}
    worker.consume([orders])

    snapshot = STATUS.snapshot()

    [shown] = snapshot.subscriptions
    assert (shown.name, shown.topic) == ("orders", "topic-of-orders")
    assert [each.probe for each in snapshot.complaints] == [Probe.READY, Probe.LIVE]
    assert "unavailable for 5 s" in str(snapshot.complaints[0])
