"""The settings in ``RELE``: what each may be, and what it is where it is not given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rele.problems import Problem

MIN_ACK_DEADLINE, MAX_ACK_DEADLINE = 10, 600
"""Seconds (Subscription in the Pub/Sub API reference)."""


@dataclass(frozen=True)
class Setting:
    """One key of ``RELE``."""

    default: Any
    kind: str
    """What it may be, as a sentence of the manual has it."""
    is_of_kind: Callable[[Any], bool]
    in_range: Callable[[Any], bool] = lambda value: True
    example: str = ""

    def problem(self, name: str, value: Any) -> Problem | None:
        """What is wrong with ``value``, if anything."""
        if not self.is_of_kind(value):
            return Problem(
                "rele.E002",
                f"RELE[{name!r}] must be {self.kind}, not {value!r}.",
                self._hint(name),
            )
        if not self.in_range(value):
            return Problem(
                "rele.E003",
                f"RELE[{name!r}] is out of range: it must be {self.kind}, not {value!r}.",
                self._hint(name),
            )
        return None

    def _hint(self, name: str) -> str:
        return f"Write {name!r}: {self.example or repr(self.default)}."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_strings(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_string, value))


def _optional(is_of_kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_of_kind(value)


def _is_filter(value: Any) -> bool:
    if callable(value):
        return True
    return isinstance(value, (list, tuple, set, frozenset)) and all(map(callable, value))


def _has_backoffs(value: Any) -> bool:
    return all(
        _is_number(getattr(value, name, None)) for name in ("minimum_backoff", "maximum_backoff")
    )


def _is_positive(value: float) -> bool:
    return value > 0


_OPTIONAL_STRING = (None, "a string or None", _optional(_is_string))
_DOTTED_PATH = "the dotted path of a class"

SETTINGS: dict[str, Setting] = {
    "ACK_DEADLINE": Setting(
        None,
        f"a whole number of seconds from {MIN_ACK_DEADLINE} to {MAX_ACK_DEADLINE}",
        _optional(_is_integer),
        lambda value: value is None or MIN_ACK_DEADLINE <= value <= MAX_ACK_DEADLINE,
        "60",
    ),
    "APP_NAME": Setting(*_OPTIONAL_STRING, example="'shop'"),
    "CLIENT_OPTIONS": Setting(
        None,
        "a dict of options for Google's clients, or None",
        _optional(lambda value: isinstance(value, Mapping)),
        example="{'api_endpoint': 'europe-west1-pubsub.googleapis.com'}",
    ),
    "DEFAULT_RETRY_POLICY": Setting(
        None,
        "a rele.retry_policy.RetryPolicy or None",
        _optional(_has_backoffs),
        example="RetryPolicy(10, 600)",
    ),
    "ENCODER_PATH": Setting("json.JSONEncoder", _DOTTED_PATH, _is_string),
    "FILTER_SUBS_BY": Setting(
        None,
        "a callable, several of them, or None",
        _optional(_is_filter),
        example="lambda **attributes: True",
    ),
    "GC_CREDENTIALS_PATH": Setting(*_OPTIONAL_STRING, example="'/run/secrets/pubsub.json'"),
    "GC_PROJECT_ID": Setting(*_OPTIONAL_STRING, example="'my-project'"),
    "GC_STORAGE_REGION": Setting(
        None,
        "a list of regions or None",
        _optional(lambda value: _is_string(value) or _is_strings(value)),
        example="['europe-west1']",
    ),
    "MIDDLEWARE": Setting(
        ["rele.contrib.LoggingMiddleware"], "a list of dotted paths of classes", _is_strings
    ),
    "PUBLISHER_BACKEND": Setting("rele.backends.pubsub.PubSubBackend", _DOTTED_PATH, _is_string),
    "PUBLISHER_BLOCKING": Setting(False, "True or False", lambda value: isinstance(value, bool)),
    "PUBLISHER_TIMEOUT": Setting(3.0, "a number of seconds above 0", _is_number, _is_positive),
    "SHUTDOWN_TIMEOUT": Setting(30.0, "a number of seconds above 0", _is_number, _is_positive),
    "SUB_PREFIX": Setting(*_OPTIONAL_STRING, example="'shop'"),
    "THREADS_PER_SUBSCRIPTION": Setting(2, "a whole number from 1", _is_integer, _is_positive),
}

DEFAULTS: dict[str, Any] = {name: setting.default for name, setting in SETTINGS.items()}
