"""What ``/metrics`` answers."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest

from rele.contrib.prometheus import rendering
from rele.contrib.prometheus.metrics import HANDLER_SECONDS
from rele.contrib.prometheus.rendering import render, show_in_this_process
from rele.status.providers import Status
from rele.status.snapshot import Contribution, Phase, Snapshot, SubscriptionStatus
from tests.support.monitoring import metrics_in, samples_in

ORDERS = SubscriptionStatus("orders", "orders", threads=2, leases_lost=3)
OUTSTANDING = "rele_publisher_outstanding_messages"


@pytest.fixture(autouse=True)
def status(monkeypatch: pytest.MonkeyPatch) -> Status:
    """The status of this process, which the other tests do not see."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    status = Status()
    monkeypatch.setattr(rendering, "STATUS", status)
    return status


def test_a_process_shows_its_registry_and_its_snapshot(status: Status) -> None:
    show_in_this_process()
    HANDLER_SECONDS.labels("orders").observe(0.1)
    status.add(lambda: Contribution(phase=Phase.CONSUMING, subscriptions=(ORDERS,)))
    Counter("shop_paid_total", "Paid orders.").inc(2)
    assert status.metrics is not None

    content_type, content = status.metrics([status.snapshot()])

    assert content_type.startswith("text/plain; version=")
    samples = samples_in(content.decode())
    assert samples["shop_paid_total", frozenset()] == 2
    assert samples["rele_handlers_limit", frozenset({("subscription", "orders")})] == 2
    assert samples[OUTSTANDING, frozenset()] == 0
    types = {name: metric.type for name, metric in metrics_in(content.decode()).items()}
    assert types["rele_handlers_limit"] == "gauge"
    assert types["rele_leases_lost_total"] == "counter"
    assert types["rele_handler_seconds_bucket"] == "histogram"


def test_the_snapshots_that_are_given_count(status: Status) -> None:
    show_in_this_process()
    status.add(lambda: Contribution(phase=Phase.CONSUMING, subscriptions=(ORDERS,)))

    _, content = render([Snapshot("a", 1.0, 0.0, Phase.DRAINING, (ORDERS,))])

    samples = samples_in(content.decode())
    assert samples["rele_processes", frozenset({("phase", "draining")})] == 1
    assert samples["rele_processes", frozenset({("phase", "consuming")})] == 0


def test_whoever_shows_the_registry_has_the_snapshot_of_this_process(status: Status) -> None:
    """As a view of a web process does."""
    show_in_this_process()
    status.add(lambda: Contribution(subscriptions=(ORDERS,)))

    samples = samples_in(generate_latest(REGISTRY).decode())

    assert samples["rele_leases_lost_total", frozenset({("subscription", "orders")})] == 3
    assert samples[OUTSTANDING, frozenset()] == 0


def test_a_registry_can_be_asked_for_nothing_but_names() -> None:
    registry = CollectorRegistry(auto_describe=True)

    registry.register(rendering.COLLECTOR)

    assert rendering.COLLECTOR.describe() == []
