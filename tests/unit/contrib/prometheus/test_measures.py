"""What snapshots say, put together over processes."""

from __future__ import annotations

from typing import Any

import pytest

from rele.contrib.prometheus.measures import OverProcesses
from rele.status.health import HealthJudge
from rele.status.snapshot import (
    Backlog,
    Complaint,
    Figure,
    Phase,
    Probe,
    Snapshot,
    SubscriptionStatus,
)


def snapshot(process: str, **fields: Any) -> Snapshot:
    status = {
        each: fields.pop(each) for each in list(fields) if each not in Snapshot.__annotations__
    }
    subscriptions = (SubscriptionStatus("orders", "orders", threads=2, **status),)
    defaults = {"phase": Phase.CONSUMING, "subscriptions": subscriptions}
    return Snapshot(process, 100.0, 0.0, **{**defaults, **fields})


def value(name: str, over: OverProcesses, *snapshots: Snapshot) -> float | None:
    """The value of the only series of that name with a value other than 0, or 0."""
    found = {
        value
        for (measure, _), value in over.put_together(snapshots).items()
        if measure.name == name
    }
    return max(found, default=None)


def test_what_processes_have_now_is_added_up() -> None:
    both = snapshot("a", outstanding=3, running=1), snapshot("b", outstanding=4, is_at_limit=True)

    assert value("rele_outstanding_messages", OverProcesses(), *both) == 7
    assert value("rele_handlers_running", OverProcesses(), *both) == 1
    assert value("rele_handlers_limit", OverProcesses(), *both) == 4
    assert value("rele_flow_control_paused", OverProcesses(), *both) == 1
    assert value("rele_processes", OverProcesses(), *both) == 2


def test_of_what_all_see_the_largest_counts() -> None:
    both = (
        snapshot("a", longest_running=5.0, backlog=Backlog(70, 9.0), is_paused=True),
        snapshot("b", longest_running=8.0, backlog=Backlog(60, None), is_paused=True),
    )

    assert value("rele_longest_running_handler_seconds", OverProcesses(), *both) == 8
    assert value("rele_backlog_messages", OverProcesses(), *both) == 70
    assert value("rele_backlog_oldest_seconds", OverProcesses(), *both) == 9
    assert value("rele_subscription_paused", OverProcesses(), *both) == 1


def test_an_unknown_backlog_is_absent_and_not_0() -> None:
    assert value("rele_backlog_messages", OverProcesses(), snapshot("a")) is None
    assert value("rele_streams_refused_seconds", OverProcesses(), snapshot("a")) == 0


def test_a_total_does_not_fall_when_a_process_ends() -> None:
    over = OverProcesses()

    def lost(*snapshots: Snapshot) -> float | None:
        return value("rele_leases_lost_total", over, *snapshots)

    assert lost(snapshot("a", leases_lost=5), snapshot("b", leases_lost=2)) == 7
    assert lost(snapshot("a", leases_lost=6)) == 8
    assert lost(snapshot("a", leases_lost=6), snapshot("c", leases_lost=1)) == 9
    assert lost(snapshot("c", leases_lost=1)) == 9
    assert lost(snapshot("c", phase=Phase.ENDED, subscriptions=())) == 9
    assert lost() == 9


def test_what_a_process_has_now_ends_with_it() -> None:
    over = OverProcesses()
    value("rele_outstanding_messages", over, snapshot("a", outstanding=5))

    assert value("rele_outstanding_messages", over, snapshot("b", outstanding=1)) == 1
    assert value("rele_outstanding_messages", over) is None


def test_figures_of_rooms_are_metrics_too() -> None:
    def with_figures(process: str, lag: float, sent: int) -> Snapshot:
        waiting = Figure("rele_outbox_waiting", 2, "Waiting.", {"database": "default"})
        seconds = Figure("rele_outbox_lag_seconds", lag, "Lag.", {"database": "default"})
        total = Figure("rele_sent_total", sent, "Sent.", is_total=True)
        return snapshot(process, figures=(waiting, seconds, total))

    over = OverProcesses()
    both = over.put_together([with_figures("a", 3.0, 10), with_figures("b", 4.0, 20)])

    values = {(measure.name, labels): value for (measure, labels), value in both.items()}
    labels = (("database", "default"),)
    assert values["rele_outbox_waiting", labels] == 4
    assert values["rele_outbox_lag_seconds", labels] == 4
    assert values["rele_sent_total", ()] == 30
    assert value("rele_sent_total", over, with_figures("a", 0.0, 11)) == 31


def test_complaints_are_counted_by_their_probe() -> None:
    complaints = (
        Complaint(Probe.LIVE, "orders", "Its thread has ended."),
        Complaint(Probe.READY, "server", "It is unavailable."),
        Complaint(Probe.READY, "outbox", "Its database is unavailable."),
    )

    found = OverProcesses().put_together([snapshot("a", complaints=complaints), snapshot("b")])

    assert {
        labels: n for (measure, labels), n in found.items() if measure.name == "rele_complaints"
    } == {
        (("probe", "live"),): 1,
        (("probe", "ready"),): 3,
    }


STUCK = Complaint(Probe.LIVE, "orders", "Its thread has ended.")


@pytest.mark.parametrize(
    "snapshots",
    [
        [snapshot("a")],
        [snapshot("a", complaints=(STUCK,))],
        [snapshot("a", phase=Phase.DRAINING)],
        [snapshot("a", phase=None)],
        [snapshot("a"), snapshot("b", phase=Phase.ENDED, subscriptions=())],
        [snapshot("a"), snapshot("b", is_replaced=True, phase=Phase.DRAINING, complaints=(STUCK,))],
        [snapshot("a", complaints=(Complaint(Probe.UNWELL, "orders", "Look."),))],
    ],
    ids=["well", "stuck", "draining", "not begun", "ended", "replaced", "unwell"],
)
def test_complaints_agree_with_the_probes(snapshots: list[Snapshot]) -> None:
    health = HealthJudge().judge(snapshots, 0.0)

    counted = {
        dict(labels)["probe"]: number
        for (measure, labels), number in OverProcesses().put_together(snapshots).items()
        if measure.name == "rele_complaints"
    }

    assert (counted["live"], counted["ready"]) == (len(health.not_live), len(health.not_ready))


def test_a_process_that_consumes_nothing_is_no_worker() -> None:
    assert value("rele_processes", OverProcesses(), snapshot("a", phase=None)) is None
