"""Which probes are red, decided from snapshots."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rele.status.health import Health, HealthJudge
from rele.status.snapshot import (
    Backlog,
    Complaint,
    Phase,
    Probe,
    Snapshot,
    SubscriptionStatus,
)

AFTER = 300.0


def process(number: int = 1, phase: Phase | None = Phase.CONSUMING, **values: object) -> Snapshot:
    snapshot = Snapshot(f"host:{number}", taken_at=10_000, started_at=0, phase=phase)
    return replace(snapshot, **values)  # type: ignore[arg-type]


def orders(messages: int | None, idle_for: float | None = 0.0, **values: object) -> Snapshot:
    """A process that consumes ``orders``."""
    backlog = None if messages is None else Backlog(messages)
    status = SubscriptionStatus("orders", "orders", threads=2, idle_for=idle_for, backlog=backlog)
    return process(subscriptions=(replace(status, **values),))  # type: ignore[arg-type]


def judged(*snapshots: Snapshot) -> Health:
    return HealthJudge(AFTER).judge(snapshots, now=0)


def test_a_process_that_consumes_is_live_and_ready() -> None:
    health = judged(process())

    assert health == Health()
    assert health.is_live
    assert health.is_ready


@pytest.mark.parametrize("phase", [None, Phase.STARTING, Phase.DRAINING, Phase.ENDED])
def test_one_that_does_not_consume_is_live_and_not_ready(phase: Phase | None) -> None:
    health = judged(process(phase=phase))

    assert health.is_live
    assert len(health.not_ready) == 1
    assert health.not_ready[0].startswith("worker: It ")


def test_why_it_does_not_consume_is_said_once() -> None:
    reason = Complaint(Probe.READY, "worker", "It waits for Pub/Sub.")

    health = judged(process(phase=Phase.STARTING, complaints=(reason,)))

    assert health.not_ready == ("worker: It waits for Pub/Sub.",)


def test_what_is_not_live_is_not_ready() -> None:
    reason = Complaint(Probe.LIVE, "orders", "Its event loop\nhas ended.")

    health = judged(process(complaints=(reason,)))

    assert health.not_live == ("orders: Its event loop has ended.",)
    assert health.not_ready == health.not_live


def test_what_only_a_person_should_look_at_turns_nothing_red() -> None:
    reason = Complaint(Probe.UNWELL, "orders", "Its filter refuses everything.")

    health = judged(process(complaints=(reason,)))

    assert health.is_ready
    assert health.unwell == ("orders: Its filter refuses everything.",)


def test_of_several_processes_each_reason_names_its_own() -> None:
    health = judged(process(1), process(2, Phase.STARTING))

    assert health.not_ready == (
        "host:2: worker: It sets up topics and subscriptions, and opens its streams.",
    )


def test_one_that_was_replaced_does_not_count() -> None:
    reason = Complaint(Probe.LIVE, "orders", "Its event loop has ended.")

    health = judged(process(1, Phase.DRAINING, complaints=(reason,), is_replaced=True), process(2))

    assert health == Health()


class TestAnIdleSubscription:
    def test_is_unwell_if_its_backlog_grows(self) -> None:
        judge = HealthJudge(AFTER)

        assert judge.judge([orders(5, idle_for=0)], now=0) == Health()
        health = judge.judge([orders(6, idle_for=AFTER)], now=AFTER)

        [reason] = health.unwell
        assert reason == (
            "orders: No message was handled for 300 s, and the backlog has grown from 5 to 6 "
            "messages."
        )
        assert health.is_ready

    @pytest.mark.parametrize("messages", [0, 5])
    def test_is_well_if_its_backlog_does_not_grow(self, messages: int) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(5)], now=0)

        assert judge.judge([orders(messages, idle_for=AFTER)], now=AFTER) == Health()

    def test_is_judged_only_once_the_backlog_was_seen_for_long_enough(self) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(5, idle_for=1000)], now=0)

        assert judge.judge([orders(6, idle_for=1200)], now=AFTER - 1) == Health()

    def test_is_compared_with_what_waited_then_and_not_long_ago(self) -> None:
        judge = HealthJudge(AFTER)

        for now, messages in [(0, 1), (400, 50), (700, 50)]:
            health = judge.judge([orders(messages, idle_for=AFTER)], now=now)

        assert health == Health()

    def test_is_well_while_another_process_handles_its_messages(self) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(5)], now=0)
        busy = replace(orders(None, idle_for=1), process="host:2")

        assert judge.judge([orders(6, idle_for=AFTER), busy], now=AFTER).unwell == ()

    def test_is_well_while_it_is_paused(self) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(5)], now=0)

        assert judge.judge([orders(6, AFTER, is_paused=True)], now=AFTER) == Health()

    def test_of_which_nothing_was_handled_yet_is_idle_since_the_start(self) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(5, idle_for=None)], now=0)

        assert "for 10000 s" in judge.judge([orders(6, idle_for=None)], now=AFTER).unwell[0]

    def test_is_not_judged_where_the_backlog_is_unknown(self) -> None:
        judge = HealthJudge(AFTER)

        judge.judge([orders(None)], now=0)
        health = judge.judge([orders(None, idle_for=AFTER)], now=AFTER)

        assert health == Health(unknown_backlogs=("orders",))

    def test_that_one_process_knows_the_backlog_of_is_known(self) -> None:
        other = replace(orders(None), process="host:2")

        assert judged(orders(5), other).unknown_backlogs == ()

    def test_that_is_looked_at_all_the_time_takes_no_more_memory(self) -> None:
        judge = HealthJudge(AFTER)

        for tick in range(10_000):
            judge.judge([orders(5)], now=tick / 10)

        assert len(judge._histories["orders"]._seen) < 70
