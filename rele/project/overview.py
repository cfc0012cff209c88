"""The declared subscriptions as rows of plain values, for tables and JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rele.config import Config
from rele.dead_letter_policy import SUFFIX, DeadLetterPolicy
from rele.declaration.batch import Batch
from rele.declaration.options import NEVER, OPTIONS, seconds_of
from rele.declaration.subscription import Subscription
from rele.schema.callables import dotted_path

_KEYS = {"backend_filter_by": "backend_filter"}
"""The names under which some options are shown."""

_SHOWN_KEYS = ("topic", "sub", "filters", *(_KEYS.get(option, option) for option in OPTIONS))

_IN_SECONDS = frozenset(name for name, option in OPTIONS.items() if option.kind.in_seconds)


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
        "function": sub.function_name,
        "filters": [
            getattr(function, "__qualname__", repr(function)) for function in sub.filter_by
        ],
        **{_KEYS.get(option, option): _plain(options.get(option), sub.name) for option in OPTIONS},
    }


def stated_fields(row: dict[str, Any]) -> list[tuple[str, str]]:
    """What the row states besides the subscription's name, as pairs of a label and a text."""
    return [
        (key.replace("_", " ").capitalize(), _text(key, row[key]))
        for key in _SHOWN_KEYS
        if row[key] not in (None, [], {})
    ]


def _plain(value: Any, subscription: str) -> Any:
    if isinstance(value, DeadLetterPolicy):
        return {
            "dead_letter_topic": value.dead_letter_topic or f"{subscription}{SUFFIX}",
            "max_delivery_attempts": value.max_delivery_attempts,
        }
    if isinstance(value, Batch):
        return {"max_messages": value.max_messages, "max_wait": value.seconds}
    if isinstance(value, timedelta):
        return int(seconds) if (seconds := seconds_of(value)).is_integer() else seconds
    if hasattr(value, "minimum_backoff"):
        return f"{value.minimum_backoff}-{value.maximum_backoff} s"
    return dotted_path(value) if callable(value) else value


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key == "dead_letter_policy":
        return f"to {value['dead_letter_topic']}, after {value['max_delivery_attempts']} attempts"
    if key == "batch":
        return f"{value['max_messages']} messages, or those of {value['max_wait']} s"
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value} s" if key in _IN_SECONDS and value != NEVER else str(value)
