"""The state of a subscription, in a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rele.contrib.admin.judging import state_of
from rele.status.snapshot import Complaint, Phase, Probe, SubscriptionStatus

RUNNING = SubscriptionStatus("orders", "orders", 2, streams=1, idle_for=3.0)
PAUSED = replace(RUNNING, is_paused=True, streams=0)
STUCK = Complaint(Probe.LIVE, "orders", "A handler has been running for 900 s.")


@pytest.mark.parametrize(
    ("consumers", "is_to_pause", "name", "tone"),
    [
        ([RUNNING], False, "consuming", "good"),
        ([], False, "no worker", "error"),
        ([], True, "paused", "warning"),
        ([PAUSED, PAUSED], True, "paused", "warning"),
        ([PAUSED, RUNNING], True, "pausing", "warning"),
        ([PAUSED, RUNNING], False, "resuming", "warning"),
        ([replace(RUNNING, refused_for=200.0)], False, "no stream", "error"),
        ([replace(RUNNING, is_at_limit=True)], False, "at its limit", "good"),
    ],
)
def test_a_state_follows_from_what_workers_say_and_what_was_decided(
    consumers: list[SubscriptionStatus], is_to_pause: bool, name: str, tone: str
) -> None:
    state = state_of(consumers, [Phase.CONSUMING] * len(consumers), [], is_to_pause=is_to_pause)

    assert (state.name, state.tone) == (name, tone)


def test_a_complaint_is_the_reason_of_what_is_unwell() -> None:
    state = state_of([RUNNING], [Phase.CONSUMING], [STUCK], is_to_pause=False)

    assert (state.name, state.tone, state.note) == ("unwell", "error", STUCK.reason)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.DRAINING])
def test_the_phase_counts_while_no_process_consumes(phase: Phase) -> None:
    assert state_of([RUNNING], [phase], [], is_to_pause=False).name == phase.value
    both = state_of([RUNNING, RUNNING], [phase, Phase.CONSUMING], [], is_to_pause=False)
    assert both.name == "consuming"


@pytest.mark.parametrize(
    ("idle", "more", "note"),
    [
        ([None], {}, "no message yet"),
        ([None], {"was_handled": True}, "no message since its workers started"),
        ([3.0], {}, ""),
        ([300.0, None], {}, "idle for 5 min"),
        ([300.0, 3.0], {}, ""),
    ],
)
def test_an_idle_subscription_is_well(
    idle: list[float | None], more: dict[str, bool], note: str
) -> None:
    consumers = [replace(RUNNING, idle_for=each) for each in idle]

    state = state_of(consumers, [Phase.CONSUMING], [], is_to_pause=False, **more)

    assert (state.tone, state.note) == ("good", note)


@pytest.mark.parametrize("idle", [None, 300.0])
def test_a_subscription_whose_first_message_is_being_handled_is_not_idle(
    idle: float | None,
) -> None:
    consumer = replace(RUNNING, idle_for=idle, running=1, outstanding=3)

    state = state_of([consumer], [Phase.CONSUMING], [], is_to_pause=False)

    assert (state.name, state.note) == ("consuming", "")
