"""How many messages of a subscription may be outstanding in one process, and for how long."""

from __future__ import annotations

from typing import Any

from google.cloud.pubsub_v1.types import FlowControl

from rele.declaration.options import SubscriptionOptions, seconds_of

MAX_MESSAGES = 100
"""The default, so that one process does not keep messages that another could handle.

The default of Google's client is 1,000.
"""


def flow_control(options: SubscriptionOptions, threads: int) -> Any:
    """Google's FlowControl: as ``options`` state, by default enough for all ``threads``."""
    limits: dict[str, Any] = {"max_messages": options.max_messages or max(MAX_MESSAGES, threads)}
    if options.max_bytes is not None:
        limits["max_bytes"] = options.max_bytes
    if options.max_lease_duration is not None:
        limits["max_lease_duration"] = seconds_of(options.max_lease_duration)
    return FlowControl(**limits)


def max_lease_duration(options: SubscriptionOptions) -> float:
    """Seconds for which a message may be outstanding: as ``options`` state, by default an hour."""
    if options.max_lease_duration is None:
        return float(FlowControl().max_lease_duration)
    return seconds_of(options.max_lease_duration)


def states_limits(options: SubscriptionOptions) -> bool:
    """Whether ``options`` state any of these limits."""
    limits = (options.max_messages, options.max_bytes, options.max_lease_duration)
    return any(limit is not None for limit in limits)
