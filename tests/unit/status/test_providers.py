"""The snapshot of a process is what its providers know."""

from __future__ import annotations

import os

import pytest

from rele.status.providers import Status
from rele.status.snapshot import (
    Backlog,
    Complaint,
    Contribution,
    Figure,
    Phase,
    Probe,
    SubscriptionStatus,
)


def _raise() -> Contribution:
    raise ZeroDivisionError


def test_contributions_are_put_together() -> None:
    status = Status(now=lambda: 1000.0)
    orders = SubscriptionStatus("orders", "orders", threads=2)
    depth = Figure("rele_outbox_waiting", 3, "Messages that wait in the outbox.")
    database = Complaint(Probe.READY, "outbox", "The database cannot be written to.")
    status.add(lambda: Contribution(phase=Phase.CONSUMING, subscriptions=(orders,)))
    status.add(lambda: Contribution(figures=(depth,), complaints=(database,)))

    snapshot = status.snapshot()

    assert snapshot.phase is Phase.CONSUMING
    assert snapshot.subscriptions == (orders,)
    assert snapshot.figures == (depth,)
    assert snapshot.complaints == (database,)
    assert (snapshot.taken_at, snapshot.started_at) == (1000.0, 1000.0)
    assert snapshot.process.endswith(f":{os.getpid()}")


def test_a_provider_is_asked_until_it_is_removed() -> None:
    status = Status()
    remove = status.add(lambda: Contribution(phase=Phase.CONSUMING))

    remove()
    remove()

    assert status.snapshot().phase is None


def test_a_provider_that_raises_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    status = Status()
    status.add(_raise)
    status.add(lambda: Contribution(phase=Phase.DRAINING))

    assert status.snapshot().phase is Phase.DRAINING
    assert "ZeroDivisionError" in caplog.text


def test_a_backlog_is_shown_with_its_subscription() -> None:
    status = Status()
    orders, refunds = (SubscriptionStatus(name, name, threads=2) for name in ("orders", "refunds"))
    status.add(lambda: Contribution(subscriptions=(orders, refunds)))
    status.add(lambda: Contribution(backlogs={"orders": Backlog(7, 3.5), "elsewhere": Backlog(1)}))

    backlogs = {each.name: each.backlog for each in status.snapshot().subscriptions}

    assert backlogs == {"orders": Backlog(7, 3.5), "refunds": None}


def test_a_worker_of_a_supervisor_shows_its_number() -> None:
    status = Status()
    status.worker_number = 2

    assert status.snapshot().process.endswith(f":{os.getpid()}/2")
