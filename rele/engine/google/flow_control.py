"""How many messages of a subscription may be outstanding in one process, and for how long."""

from __future__ import annotations

from typing import Any

from google.cloud.pubsub_v1.types import FlowControl

from rele.declaration.options import SubscriptionOptions, seconds_of

MAX_MESSAGES = 100
"""Where none is stated, so that one process does not hoard what another could do.

Google's client would take 1,000.
"""


def flow_control(options: SubscriptionOptions, threads: int) -> Any:
    """Google's FlowControl: what ``options`` state, else enough for all ``threads``."""
    limits: dict[str, Any] = {"max_messages": options.max_messages or max(MAX_MESSAGES, threads)}
    if options.max_bytes is not None:
        limits["max_bytes"] = options.max_bytes
    if options.max_lease_duration is not None:
        limits["max_lease_duration"] = seconds_of(options.max_lease_duration)
    return FlowControl(**limits)


def max_lease_duration(options: SubscriptionOptions) -> float:
    """Seconds for which a message may be outstanding: by ``options``, else Google's hour."""
    if options.max_lease_duration is None:
        return float(FlowControl().max_lease_duration)
    return seconds_of(options.max_lease_duration)


def states_limits(options: SubscriptionOptions) -> bool:
    """Whether ``options`` say anything about it."""
    limits = (options.max_messages, options.max_bytes, options.max_lease_duration)
    return any(limit is not None for limit in limits)
