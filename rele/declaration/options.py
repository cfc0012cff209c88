"""What a subscription may state beside its topic and its name: what each may be, and merging."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from rele.dead_letter_policy import DeadLetterPolicy
from rele.retry_policy import RetryPolicy
from rele.schema.settings import (
    MAX_ACK_DEADLINE,
    MIN_ACK_DEADLINE,
    Setting,
    has_backoffs,
    is_bool,
    is_filter,
    is_integer,
    is_number,
    is_positive,
    is_string,
)

DAY = 24 * 60 * 60
MIN_RETENTION, MAX_RETENTION = 10 * 60, 31 * DAY
MIN_EXPIRATION = DAY
"""Seconds (Subscription and ExpirationPolicy in the Pub/Sub API reference)."""

NEVER = "never"
"""As an expiration policy: the subscription stays, however long nobody uses it."""

MAX_LABELS = 64
# Letters of any script that have no case are fine, as for all labels of Google Cloud.
_LABEL_KEY = re.compile(r"[^\W\d_A-Z](?:[^\WA-Z]|-)*")
_LABEL_VALUE = re.compile(r"(?:[^\WA-Z]|-)*")
_MAX_LABEL_CHARACTERS = 63

Duration = float | timedelta
"""Seconds, or a timedelta."""


def seconds_of(duration: Duration) -> float:
    """The duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def _is_duration(value: Any) -> bool:
    return is_number(value) or isinstance(value, timedelta)


def _is_labels(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        is_string(key) and is_string(text) for key, text in value.items()
    )


def _labels_are_allowed(labels: Mapping[str, str]) -> bool:
    return len(labels) <= MAX_LABELS and all(
        len(key) <= _MAX_LABEL_CHARACTERS
        and len(text) <= _MAX_LABEL_CHARACTERS
        and _LABEL_KEY.fullmatch(key)
        and _LABEL_VALUE.fullmatch(text)
        for key, text in labels.items()
    )


def _yes_or_no(**arguments: Any) -> Setting:
    return Setting(None, "True or False", is_bool, example="True", **arguments)


def _count(example: str) -> Setting:
    return Setting(None, "a whole number from 1", is_integer, is_positive, example)


OPTIONS: dict[str, Setting] = {
    "backend_filter_by": Setting(
        None, "a filter in Pub/Sub's syntax", is_string, example="'attributes.lang = \"en\"'"
    ),
    "retry_policy": Setting(
        None, "a rele.retry_policy.RetryPolicy", has_backoffs, example="RetryPolicy(10, 600)"
    ),
    "ack_deadline": Setting(
        None,
        f"a whole number of seconds from {MIN_ACK_DEADLINE} to {MAX_ACK_DEADLINE}",
        is_integer,
        lambda value: MIN_ACK_DEADLINE <= value <= MAX_ACK_DEADLINE,
        "60",
    ),
    "dead_letter_policy": Setting(
        None,
        "a rele.DeadLetterPolicy",
        lambda value: isinstance(value, DeadLetterPolicy),
        example="DeadLetterPolicy()",
    ),
    "enable_message_ordering": _yes_or_no(),
    "enable_exactly_once_delivery": _yes_or_no(),
    "message_retention_duration": Setting(
        None,
        f"a number of seconds, or a timedelta, from {MIN_RETENTION} to {MAX_RETENTION} s",
        _is_duration,
        lambda value: MIN_RETENTION <= seconds_of(value) <= MAX_RETENTION,
        "timedelta(days=7)",
    ),
    "retain_acked_messages": _yes_or_no(),
    "expiration_policy": Setting(
        None,
        f"a number of seconds, or a timedelta, from {MIN_EXPIRATION} s, or {NEVER!r}",
        lambda value: _is_duration(value) or value == NEVER,
        lambda value: value == NEVER or seconds_of(value) >= MIN_EXPIRATION,
        repr(NEVER),
    ),
    "labels": Setting(
        None,
        f"a dict of at most {MAX_LABELS} strings, of up to {_MAX_LABEL_CHARACTERS} lower-case "
        "letters, digits, - and _; keys begin with a letter",
        _is_labels,
        _labels_are_allowed,
        "{'team': 'shop'}",
    ),
    "threads": _count("2"),
    "max_messages": _count("100"),
    "max_bytes": _count("100 * 1024 * 1024"),
    "max_lease_duration": Setting(
        None,
        "a number of seconds, or a timedelta, above 0",
        _is_duration,
        lambda value: seconds_of(value) > 0,
        "3600",
    ),
}
"""By their names as keyword arguments of ``@sub``; ``None`` everywhere stands for "not stated"."""

DEFAULTS_WITHOUT_OPTION: dict[str, Setting] = {
    "prefix": Setting(None, "a string", is_string, example="'shop'"),
    "filter_by": Setting(
        None,
        "a callable (no `async def`, and without `yield`), or several of them",
        is_filter,
        example="lambda **attributes: True",
    ),
}
"""What ``RELE["SUBSCRIPTION_DEFAULTS"]`` takes besides, though it is no option of the server."""

ALIASES = {
    "ACK_DEADLINE": "ack_deadline",
    "DEFAULT_RETRY_POLICY": "retry_policy",
    "THREADS_PER_SUBSCRIPTION": "threads",
    "SUB_PREFIX": "prefix",
    "FILTER_SUBS_BY": "filter_by",
}
"""Settings of old, and the key of ``RELE["SUBSCRIPTION_DEFAULTS"]`` that each stands for."""


@dataclass(frozen=True, kw_only=True)
class SubscriptionOptions:
    """What is stated for one subscription, or as the default for all; ``None`` is not stated.

    Durations are seconds or timedeltas.

    Raises:
        ValueError: a value is not of the kind that :data:`OPTIONS` says.
    """

    backend_filter_by: str | None = None
    retry_policy: RetryPolicy | None = None
    ack_deadline: int | None = None
    dead_letter_policy: DeadLetterPolicy | None = None
    enable_message_ordering: bool | None = None
    enable_exactly_once_delivery: bool | None = None
    message_retention_duration: Duration | None = None
    retain_acked_messages: bool | None = None
    expiration_policy: Duration | str | None = None
    labels: Mapping[str, str] | None = None
    threads: int | None = None
    max_messages: int | None = None
    max_bytes: int | None = None
    max_lease_duration: Duration | None = None

    def __post_init__(self) -> None:
        for name, value in self.stated().items():
            if complaint := OPTIONS[name].complaint(value):
                raise ValueError(f"{name} {complaint} Write {name}={OPTIONS[name].example}.")

    def stated(self) -> dict[str, Any]:
        """Those that are, by their names."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }

    def over(self, defaults: SubscriptionOptions) -> SubscriptionOptions:
        """These, and where they state nothing, ``defaults``."""
        return replace(defaults, **self.stated())
