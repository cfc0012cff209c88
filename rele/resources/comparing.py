"""The differences between an existing subscription and its declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from google.cloud import pubsub_v1
from google.protobuf.field_mask_pb2 import FieldMask

from rele.declaration.options import NEVER, OPTIONS
from rele.resources.changes import Difference
from rele.resources.desired import GOOGLE_FIELDS, Desired

_FIXED_OPTIONS = tuple(name for name, option in OPTIONS.items() if option.is_fixed)
"""The options that can be set only when a subscription is created, like its topic."""


def fixed_differences(desired: Desired, actual: Any) -> tuple[Difference, ...]:
    """The differences that no update can remove; ``actual`` is Google's Subscription."""
    topic = "detached" if actual.detached else actual.topic
    differences = _differences(desired, actual, _FIXED_OPTIONS)
    if topic != desired.topic:
        return (Difference("topic", topic, desired.topic), *differences)
    return differences


def updatable_differences(desired: Desired, actual: Any) -> tuple[Difference, ...]:
    """The differences that an update removes."""
    return _differences(
        desired, actual, (option for option in GOOGLE_FIELDS if option not in _FIXED_OPTIONS)
    )


def update_request(
    desired: Desired, actual: Any, differences: Iterable[Difference]
) -> dict[str, Any]:
    """The request that removes ``differences`` and changes nothing else."""
    fields = [GOOGLE_FIELDS[difference.option] for difference in differences]
    return {"subscription": _wanted(desired, actual), "update_mask": FieldMask(paths=fields)}


def _wanted(desired: Desired, actual: Any) -> Any:
    """The declaration as Google's Subscription; other labels of the subscription are kept."""
    stated = dict(desired.stated)
    if "labels" in stated:
        stated["labels"] = {**actual.labels, **stated["labels"]}
    return pubsub_v1.types.Subscription(name=actual.name, topic=actual.topic, **stated)


def _differences(desired: Desired, actual: Any, options: Iterable[str]) -> tuple[Difference, ...]:
    wanted = _wanted(desired, actual)
    return tuple(
        Difference(option, _text(actual, field), _text(wanted, field))
        for option in options
        if (field := GOOGLE_FIELDS[option]) in desired.stated and not _agree(wanted, actual, field)
    )


def _agree(wanted: Any, actual: Any, field: str) -> bool:
    # An empty expiration policy is not the same as a missing one.
    same_presence = (field in wanted) == (field in actual)
    return bool(same_presence and getattr(wanted, field) == getattr(actual, field))


def _text(subscription: Any, field: str) -> str:
    if field not in subscription and not isinstance(getattr(subscription, field), bool):
        return "none"
    value = getattr(subscription, field)
    to_text: Callable[[Any], str] = _TEXTS.get(field, str)
    return to_text(value)


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.12g} s"


_TEXTS: dict[str, Callable[[Any], str]] = {
    "labels": lambda labels: " ".join(f"{key}={labels[key]}" for key in sorted(labels)),
    "message_retention_duration": _seconds,
    "retry_policy": lambda policy: (
        f"{_seconds(policy.minimum_backoff)} to {_seconds(policy.maximum_backoff)}"
    ),
    "dead_letter_policy": lambda policy: (
        f"{policy.dead_letter_topic} after {policy.max_delivery_attempts} deliveries"
    ),
    "expiration_policy": lambda policy: _seconds(policy.ttl) if policy.ttl else NEVER,
}
