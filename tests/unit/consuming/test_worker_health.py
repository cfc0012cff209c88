"""What is wrong with a worker: only what a restart mends is about liveness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rele.consuming.worker_health import complaints
from rele.status.snapshot import Phase, Probe, SubscriptionStatus


def status(**fields: Any) -> SubscriptionStatus:
    return replace(SubscriptionStatus("orders", "orders", threads=2, streams=1), **fields)


def judge(
    *subscriptions: SubscriptionStatus,
    phase: Phase = Phase.CONSUMING,
    unavailable_for: float = 0.0,
    handler_limit: float | None = None,
) -> list[tuple[Probe, str]]:
    found = complaints(
        phase, subscriptions, unavailable_for=unavailable_for, handler_limit=handler_limit
    )
    return [(each.probe, str(each)) for each in found]


def test_a_worker_that_consumes_has_nothing_wrong() -> None:
    assert judge(status(idle_for=9999.0), status(is_paused=True, streams=0)) == []


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING, Phase.ENDED])
def test_one_that_starts_or_stops_is_not_ready(phase: Phase) -> None:
    [(probe, _)] = judge(phase=phase)

    assert probe is Probe.READY


def test_an_outage_is_about_readiness_however_long_it_lasts() -> None:
    unreachable = status(
        streams=0, refused_for=9999.0, refusal="503 unreachable", server_silent_for=9999.0
    )

    [(probe, text)] = judge(unreachable, unreachable, unavailable_for=9999.0)

    assert probe is Probe.READY, "once, whatever it is that cannot be consumed"
    assert text == (
        "worker: Pub/Sub has been unavailable for 9999 s (503 unreachable). Relé keeps trying, and "
        "messages wait there."
    )


def test_what_a_person_must_correct_is_said_in_an_outage_too() -> None:
    forbidden = status(streams=0, refused_for=9.0, refusal="403 not yours", is_refusal_final=True)

    _, (probe, text) = judge(forbidden, unavailable_for=9.0)

    assert (probe, text) == (
        Probe.READY,
        "orders: No stream could be opened for 9 s: 403 not yours.",
    )


def test_so_is_one_in_which_nothing_has_ever_been_answered() -> None:
    [(probe, _)] = judge(status(streams=0, refused_for=9999.0))

    assert probe is Probe.READY


def test_that_pubsub_ends_a_stream_now_and_then_is_no_outage() -> None:
    assert judge(status(streams=0, refused_for=0.8), unavailable_for=0.9) == []


def test_streams_that_fail_though_the_server_answers_are_mended_by_a_restart() -> None:
    refused = status(streams=0, refusal="503 broken", server_silent_for=40.0)
    before, after = (replace(refused, refused_for=at) for at in (299.0, 300.0))

    assert [probe for probe, _ in judge(before)] == [Probe.READY]
    [(probe, text)] = judge(after)
    assert probe is Probe.LIVE
    assert text == (
        "orders: No stream could be opened for 300 s, although Pub/Sub answers other calls: "
        "503 broken."
    )


def test_what_a_person_must_correct_is_not_mended_by_a_restart() -> None:
    forbidden = status(
        streams=0,
        refused_for=400.0,
        refusal="403 not yours",
        is_refusal_final=True,
        server_silent_for=1.0,
    )

    [(probe, text)] = judge(forbidden)

    assert probe is Probe.READY
    assert "403 not yours" in text


def test_a_paused_subscription_needs_no_stream() -> None:
    assert judge(status(streams=0, is_paused=True, refused_for=400.0, server_silent_for=1.0)) == []


def test_a_handler_may_run_for_any_time_unless_a_limit_is_set() -> None:
    stuck = status(running=1, longest_running=5000.0)

    assert judge(stuck) == []
    [(probe, text)] = judge(stuck, handler_limit=600)
    assert probe is Probe.LIVE
    assert "5000 s" in text
    assert "HANDLER_LIMIT" in text
    assert judge(status(longest_running=599.0), handler_limit=600) == []


def test_an_engine_that_does_not_run_is_mended_by_a_restart() -> None:
    [(probe, text)] = judge(status(is_engine_running=False))

    assert probe is Probe.LIVE
    assert text.startswith("orders: The engine does not run")
