"""The declared subscriptions as rows of plain values, for tables and JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rele.config import Config
from rele.dead_letter_policy import SUFFIX, DeadLetterPolicy
from rele.subscription import Subscription
from rele.subscription_options import OPTIONS, seconds_of

_KEYS = {"backend_filter_by": "backend_filter"}
"""Of options that are shown under another name."""

_WITH_A_COLUMN = ("backend_filter_by", "retry_policy", "ack_deadline")


def describe(sub: Subscription, config: Config) -> dict[str, Any]:
    """A subscription's names, filters, and options, durations in seconds.

    An option is what the code states, else ``config``; else ``None``.
    """
    options = sub.options.over(config.subscription_defaults).stated()
    options.setdefault("ack_deadline", config.ack_deadline)
    return {
        "topic": sub.topic,
        "subscription": sub.name,
        "sub": sub.path,
        "filters": [
            getattr(function, "__qualname__", repr(function)) for function in sub.filter_by
        ],
        **{_KEYS.get(option, option): _plain(options.get(option), sub.name) for option in OPTIONS},
    }


def other_options(row: dict[str, Any]) -> str:
    """Those of the row that no column of its own shows, as ``name=value, …``."""
    return ", ".join(
        f"{option}={_text(row[option])}"
        for option in OPTIONS
        if option not in _WITH_A_COLUMN and row[option] is not None
    )


def _plain(value: Any, subscription: str) -> Any:
    if isinstance(value, DeadLetterPolicy):
        return {
            "dead_letter_topic": value.dead_letter_topic or f"{subscription}{SUFFIX}",
            "max_delivery_attempts": value.max_delivery_attempts,
        }
    if isinstance(value, timedelta):
        return int(seconds) if (seconds := seconds_of(value)).is_integer() else seconds
    if hasattr(value, "minimum_backoff"):
        return f"{value.minimum_backoff}-{value.maximum_backoff} s"
    return value


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}:{text}" for key, text in value.items())
    return str(value)
