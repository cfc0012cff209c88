"""What somebody has asked of a subscription while workers run: to pause, or other threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SubscriptionControl:
    """What is asked of all workers that consume one subscription."""

    is_paused: bool = False
    """Whether no worker is to consume it."""
    threads: int | None = None
    """How many messages, or batches, a worker handles at a time; ``None``: as it is configured."""


ReadControls = Callable[[], Mapping[str, SubscriptionControl]]
"""Reads what is asked now, by the names of subscriptions; what has no name here is as configured.

It is called every few seconds, in a thread of its own, and may wait and raise: what was read last
counts meanwhile. It keeps no connection.
"""
