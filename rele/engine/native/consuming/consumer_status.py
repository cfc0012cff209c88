"""How a subscription is consumed, as any thread may ask."""

from __future__ import annotations

from dataclasses import replace

from rele.engine.native.consuming.consume_core import ConsumeCore
from rele.engine.native.consuming.open_streams import OpenStreams
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.stream_errors import needs_a_person, reason_of
from rele.status.snapshot import SubscriptionStatus


def status_of(
    name: str,
    core: ConsumeCore,
    loop: PullLoop,
    streams: OpenStreams,
    running: int,
    refusal: BaseException | None,
) -> SubscriptionStatus:
    """How a subscription is consumed now; it does not know its topic.

    Args:
        name: of the subscription.
        core: decides about it.
        loop: has its streams and calls.
        streams: its streams.
        running: handlers that have begun and not returned.
        refusal: why the last stream was ended, if none was accepted since.
    """
    now = loop.now()
    status, number = core.status(now), streams.count(now)
    if number or status.is_paused or status.refused_for is None:
        refusal, status = None, replace(status, refused_for=None)
    answered_at = loop.connections.answered_at
    return replace(
        status,
        name=name,
        streams=number,
        running=running,
        refusal="" if refusal is None else reason_of(refusal),
        is_refusal_final=refusal is not None and needs_a_person(refusal),
        server_silent_for=None if answered_at is None else now - answered_at,
        is_engine_running=loop.is_running,
    )
