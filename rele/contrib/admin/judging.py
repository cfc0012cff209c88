"""What state a subscription is in, judged from what its workers report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rele.contrib.admin.wording import plural, span
from rele.status.snapshot import Complaint, Phase, SubscriptionStatus

Tone = Literal["good", "quiet", "warning", "error"]

_IDLE = 60.0
"""Seconds without a message after which a subscription is said to be idle."""


@dataclass(frozen=True)
class State:
    """The state of a subscription in all processes."""

    name: str
    tone: Tone
    note: str = ""
    """More about it, in a few words."""


def state_of(
    consumers: Sequence[SubscriptionStatus],
    phases: Sequence[Phase | None],
    complaints: Sequence[Complaint],
    *,
    is_to_pause: bool,
    was_handled: bool = False,
) -> State:
    """What to call the state of one subscription.

    Args:
        consumers: what each process says about it that reports.
        phases: of these processes.
        complaints: about the subscription.
        is_to_pause: whether somebody has paused it.
        was_handled: whether a message of it was handled in the last hour, by whichever process.
    """
    paused = sum(each.is_paused for each in consumers)
    if is_to_pause and paused == len(consumers):
        return State("paused", "warning")
    if not consumers:
        return State("no worker", "error", "no process consumes it")
    if is_to_pause:
        return State("pausing", "warning", f"{paused} of {plural(len(consumers), 'process')}")
    if paused:
        return State("resuming", "warning", f"paused in {plural(paused, 'process')}")
    if complaints:
        return State("unwell", "error", complaints[0].reason)
    return _of_running(consumers, phases, was_handled)


def _of_running(
    consumers: Sequence[SubscriptionStatus], phases: Sequence[Phase | None], was_handled: bool
) -> State:
    refused = [each.refused_for for each in consumers if each.refused_for is not None]
    if refused:
        return State("no stream", "error", f"for {span(max(refused))}")
    if Phase.CONSUMING not in phases:
        phase = phases[0]
        return State("starting" if phase is None else phase.value, "quiet")
    if any(each.is_at_limit for each in consumers):
        return State("at its limit", "good", "the server waits for the handlers")
    return State("consuming", "good", _idleness(consumers, was_handled))


def _idleness(consumers: Sequence[SubscriptionStatus], was_handled: bool) -> str:
    """For how long nothing was handled, if that is worth a word."""
    if any(each.running or each.outstanding for each in consumers):
        return ""
    idle = [each.idle_for for each in consumers if each.idle_for is not None]
    if not idle:
        return "no message since its workers started" if was_handled else "no message yet"
    return f"idle for {span(min(idle))}" if min(idle) >= _IDLE else ""
