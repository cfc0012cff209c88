"""The settings in ``RELE``: what each may be, and what it is where it is not given."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rele.schema.callables import code_that_does_not_run
from rele.schema.problems import Problem

MIN_ACK_DEADLINE, MAX_ACK_DEADLINE = 10, 600
"""Seconds (Subscription in the Pub/Sub API reference)."""

RESOURCES_MODES = ("apply", "create", "verify", "ignore")


@dataclass(frozen=True)
class Setting:
    """One key of ``RELE``."""

    default: Any
    kind: str
    """What it may be, as a sentence of the manual has it."""
    is_of_kind: Callable[[Any], bool]
    in_range: Callable[[Any], bool] = lambda value: True
    example: str = ""

    def problem(self, name: str, value: Any, *, of: str = "RELE") -> Problem | None:
        """What is wrong with ``value``, if anything, as the key ``name`` of the dict ``of``."""
        what_is_wrong = self.complaint(value)
        if what_is_wrong is None:
            return None
        return Problem(
            "rele.E003" if self.is_of_kind(value) else "rele.E002",
            f"{of}[{name!r}] {what_is_wrong}",
            f"Write {name!r}: {self.example or repr(self.default)}.",
        )

    def complaint(self, value: Any) -> str | None:
        """What is wrong with ``value``, as the rest of a sentence, or ``None``."""
        if not self.is_of_kind(value):
            return f"must be {self.kind}, not {value!r}."
        if not self.in_range(value):
            return f"is out of range: it must be {self.kind}, not {value!r}."
        return None


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def is_strings(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(is_string, value))


def optional(is_of_kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_of_kind(value)


def storage_regions(policy: Any, stacklevel: int = 2) -> list[str] | None:
    """A ``message_storage_policy`` as a list of regions, or ``None``.

    One region as a string is deprecated; ``stacklevel`` is that of the warning, seen from here.

    Raises:
        TypeError: it is neither a list, a tuple, a string nor ``None``.
    """
    if policy is None or is_strings(policy):
        return policy and list(policy)
    if not is_string(policy):
        raise TypeError(
            "message_storage_policy must be a list of regions, such as ['europe-west1'], or None, "
            f"not {policy!r}."
        )
    warnings.warn(
        f"A storage region as a string is deprecated: make it a list, [{policy!r}].",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )
    return [policy] if policy else None


def is_filter(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_answers, value))
    return _answers(value)


def _answers(value: Any) -> bool:
    return callable(value) and code_that_does_not_run(value) is None


def has_backoffs(value: Any) -> bool:
    return all(
        is_number(getattr(value, name, None)) for name in ("minimum_backoff", "maximum_backoff")
    )


def is_positive(value: float) -> bool:
    return value > 0


def _can_be_waited_for(value: float) -> bool:
    return 0 < value <= threading.TIMEOUT_MAX


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_client_options(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "api_endpoint")


_OPTIONAL_STRING = (None, "a string or None", optional(is_string))
_DOTTED_PATH = "the dotted path of a class"

SETTINGS: dict[str, Setting] = {
    "ACK_DEADLINE": Setting(
        None,
        f"a whole number of seconds from {MIN_ACK_DEADLINE} to {MAX_ACK_DEADLINE}",
        optional(is_integer),
        lambda value: value is None or MIN_ACK_DEADLINE <= value <= MAX_ACK_DEADLINE,
        "60",
    ),
    "APP_NAME": Setting(*_OPTIONAL_STRING, example="'shop'"),
    "CLIENT_OPTIONS": Setting(
        None,
        "a dict of options for Google's clients, or None",
        optional(_is_client_options),
        example="{'api_endpoint': 'europe-west1-pubsub.googleapis.com'}",
    ),
    "DEFAULT_RETRY_POLICY": Setting(
        None,
        "a rele.retry_policy.RetryPolicy or None",
        optional(has_backoffs),
        example="RetryPolicy(10, 600)",
    ),
    "ENCODER_PATH": Setting("json.JSONEncoder", _DOTTED_PATH, is_string),
    "FILTER_SUBS_BY": Setting(
        None,
        "a callable (no `async def`, and without `yield`), several of them, or None",
        optional(is_filter),
        example="lambda **attributes: True",
    ),
    "GC_CREDENTIALS_PATH": Setting(
        None, "a path or None", optional(_is_path), example="'/run/secrets/pubsub.json'"
    ),
    "GC_PROJECT_ID": Setting(*_OPTIONAL_STRING, example="'my-project'"),
    "GC_STORAGE_REGION": Setting(
        None,
        "a list of regions or None",
        optional(lambda value: is_string(value) or is_strings(value)),
        example="['europe-west1']",
    ),
    "LOG_PAYLOADS": Setting(True, "True or False", is_bool),
    "MIDDLEWARE": Setting(
        ["rele.contrib.LoggingMiddleware"], "a list of dotted paths of classes", is_strings
    ),
    "OUTBOX": Setting(
        {},
        "a dict of settings of rele.contrib.outbox",
        lambda value: isinstance(value, Mapping),
        example="{'KEEP_SENT': True}",
    ),
    "PUBLISHER_BACKEND": Setting("rele.backends.pubsub.PubSubBackend", _DOTTED_PATH, is_string),
    "PUBLISHER_BLOCKING": Setting(False, "True or False", is_bool),
    "PUBLISHER_TIMEOUT": Setting(3.0, "a number of seconds above 0", is_number, _can_be_waited_for),
    "RESOURCES": Setting(
        "apply",
        "'apply', 'create', 'verify' or 'ignore'",
        is_string,
        lambda value: value in RESOURCES_MODES,
    ),
    "SHUTDOWN_TIMEOUT": Setting(30.0, "a number of seconds above 0", is_number, _can_be_waited_for),
    "SUBSCRIPTION_DEFAULTS": Setting(
        {},
        "a dict of keyword arguments of @sub",
        lambda value: isinstance(value, Mapping),
        example="{'ack_deadline': 60}",
    ),
    "SUB_PREFIX": Setting(*_OPTIONAL_STRING, example="'shop'"),
    "THREADS_PER_SUBSCRIPTION": Setting(2, "a whole number from 1", is_integer, is_positive),
}

DEFAULTS: dict[str, Any] = {name: setting.default for name, setting in SETTINGS.items()}
