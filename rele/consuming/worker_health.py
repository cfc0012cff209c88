"""What is wrong with a worker, judged by what it consumes. No clock, no thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rele.status.snapshot import Complaint, Phase, Probe, SubscriptionStatus

WORKER = "worker"
"""The subject of what is about all subscriptions."""

REFUSED_FOR = 300.0
"""Seconds without a stream after which a restart may help, if the server answers other calls."""

UNAVAILABLE_AFTER = 2.0
"""Seconds of an outage after which it is one: Pub/Sub ends old streams as a matter of course."""

NOT_READY_FOR = 60.0
"""Seconds without a stream after which a process does not do its work."""

ANSWERED_WITHIN = 150.0
"""Seconds within which a server has answered something that answers. While no stream is open, it
is asked about once a minute."""

PHASE_REASONS = {
    Phase.STARTING: "The worker starts: not all subscriptions are set up and open yet.",
    Phase.DRAINING: "The worker stops: it begins no more messages.",
    Phase.ENDED: "The worker has ended.",
}
"""Why a worker that is not consuming is not ready."""


def complaints(
    phase: Phase,
    subscriptions: Sequence[SubscriptionStatus],
    *,
    unavailable_for: float,
    handler_limit: float | None,
) -> Iterator[Complaint]:
    """What is wrong now.

    A complaint is of ``Probe.LIVE`` only if a restart helps. An outage of Pub/Sub never is: to
    restart a fleet would cost delivery attempts, and would not end the outage.

    Args:
        phase: what the worker is doing.
        subscriptions: how it consumes.
        unavailable_for: for how many seconds Pub/Sub has been unavailable.
        handler_limit: seconds that a handler may run; ``None``: as long as it likes.
    """
    if phase in PHASE_REASONS:
        yield Complaint(Probe.READY, WORKER, PHASE_REASONS[phase])
    if phase is Phase.ENDED:
        return
    is_outage = unavailable_for >= UNAVAILABLE_AFTER
    if is_outage:
        why = _refusal_of(subscriptions)
        yield Complaint(
            Probe.READY,
            WORKER,
            f"Pub/Sub has been unavailable for {unavailable_for:.0f} s{why}. Relé keeps trying, "
            "and messages wait there.",
        )
    for each in subscriptions:
        yield from _of_engine(each)
        yield from _of_handlers(each, handler_limit)
        yield from _of_streams(each, is_outage)


def _refusal_of(subscriptions: Sequence[SubscriptionStatus]) -> str:
    """Why a stream of one of them could not be opened, in brackets."""
    found = (each.refusal for each in subscriptions if each.refused_for is not None)
    return next((f" ({refusal})" for refusal in found if refusal), "")


def _of_engine(status: SubscriptionStatus) -> Iterator[Complaint]:
    if not status.is_engine_running:
        yield Complaint(
            Probe.LIVE,
            status.name,
            "The engine does not run: nothing is received, and no lease is extended.",
        )


def _of_handlers(status: SubscriptionStatus, limit: float | None) -> Iterator[Complaint]:
    if limit is not None and status.longest_running > limit:
        yield Complaint(
            Probe.LIVE,
            status.name,
            f"A handler has been running for {status.longest_running:.0f} s, more than the "
            f"{limit:g} s of RELE['HANDLER_LIMIT'].",
        )


def _of_streams(status: SubscriptionStatus, is_outage: bool) -> Iterator[Complaint]:
    """What is wrong with its streams, besides an outage, which is about all of them."""
    seconds = status.refused_for
    if seconds is None or status.is_paused:
        return
    why = f": {status.refusal}" if status.refusal else ""
    if seconds >= REFUSED_FOR and _is_mended_by_a_restart(status):
        yield Complaint(
            Probe.LIVE,
            status.name,
            f"No stream could be opened for {seconds:.0f} s, although Pub/Sub answers other "
            f"calls{why}.",
        )
    elif status.is_refusal_final or (seconds >= NOT_READY_FOR and not is_outage):
        yield Complaint(
            Probe.READY, status.name, f"No stream could be opened for {seconds:.0f} s{why}."
        )


def _is_mended_by_a_restart(status: SubscriptionStatus) -> bool:
    """Whether the fault may be this process's own: the server answers, and refuses nothing."""
    silent_for = status.server_silent_for
    return not status.is_refusal_final and silent_for is not None and silent_for < ANSWERED_WITHIN
