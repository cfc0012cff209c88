"""What the value of a setting or of an option may be, and how to say that it is something else."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from rele.schema.callables import code_that_does_not_run, signature_of

MIN_ACK_DEADLINE, MAX_ACK_DEADLINE = 10, 600
"""Seconds (Subscription in the Pub/Sub API reference)."""

MAX_REQUEST_MESSAGES, MAX_REQUEST_BYTES = 1_000, 10_000_000
"""What Pub/Sub accepts in one publish request (Quotas and limits)."""

MAX_BATCH_WAIT = 60
"""Seconds."""


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


def is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def is_duration(value: Any) -> bool:
    return is_number(value) or isinstance(value, timedelta)


def is_positive(value: float) -> bool:
    return value > 0


def is_filter(value: Any) -> bool:
    """Whether it is a callable that returns its answer when it is called, or several of them."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(is_callable, value))
    return is_callable(value)


def is_callable(value: Any) -> bool:
    """Whether it returns its answer when it is called."""
    return callable(value) and code_that_does_not_run(value) is None


def is_function_of_payload(value: Any) -> bool:
    """Whether it can be called with a payload alone, and returns its answer then."""
    if not is_callable(value):
        return False
    signature = signature_of(value)
    if signature is None:  # a built-in that does not say what it takes
        return True
    try:
        signature.bind(b"")
    except TypeError:
        return False
    return True


def has_backoffs(value: Any) -> bool:
    """Whether it has what a retry policy has; a class of the project's own may do."""
    return all(
        is_number(getattr(value, name, None)) for name in ("minimum_backoff", "maximum_backoff")
    )


def _can_be_waited_for(seconds: float) -> bool:
    return 0 < seconds <= threading.TIMEOUT_MAX


def one_of(*values: str) -> Kind:
    """The kind of a string that is one of ``values``."""
    *others, last = map(repr, values)
    text = " or ".join(filter(None, [", ".join(others), last]))
    return Kind(text, is_string, lambda value: value in values, example=repr(values[0]))


def _up_to(maximum: float) -> Callable[[Any], bool]:
    return lambda value: 0 < value <= maximum


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_client_options(value: Any) -> bool:
    return is_dict(value) or hasattr(value, "api_endpoint")


def _has_parts(text: str) -> bool:
    return "," in text or " or " in text


def _every_value(value: Any) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """What a value may be."""

    text: str
    """What it may be, as the end of a sentence that begins with "must be"."""
    accepts: Callable[[Any], bool]
    """Whether a value is of the right type."""
    in_range: Callable[[Any], bool] = _every_value
    """Whether a value of the right type is one of those that may be used."""
    example: str = ""
    """A right value, as one writes it in Python."""
    in_seconds: bool = False
    """Whether a number means seconds."""

    def complaint(self, value: Any) -> str | None:
        """What is wrong with ``value``, as the end of a sentence, or ``None`` if nothing is."""
        if not self.accepts(value):
            return f"must be {self.text}, not {value!r}."
        if not self.in_range(value):
            return f"is out of range: it must be {self.text}, not {value!r}."
        return None

    def or_none(self) -> Kind:
        """The same kind, but ``None`` may be given, too."""
        return replace(
            self,
            text=f"{self.text}{',' if _has_parts(self.text) else ''} or None",
            accepts=lambda value: value is None or self.accepts(value),
            in_range=lambda value: value is None or self.in_range(value),
        )


ACK_DEADLINE = Kind(
    f"a whole number of seconds from {MIN_ACK_DEADLINE} to {MAX_ACK_DEADLINE}",
    is_integer,
    lambda value: MIN_ACK_DEADLINE <= value <= MAX_ACK_DEADLINE,
    example="60",
    in_seconds=True,
)
BATCH_BYTES = Kind(
    f"a whole number of bytes from 1 to {MAX_REQUEST_BYTES}, the most that Pub/Sub accepts",
    is_integer,
    _up_to(MAX_REQUEST_BYTES),
)
BATCH_MESSAGES = Kind(
    f"a whole number from 1 to {MAX_REQUEST_MESSAGES}, the most that Pub/Sub accepts",
    is_integer,
    _up_to(MAX_REQUEST_MESSAGES),
)
BATCH_WAIT = Kind(
    f"a number of seconds above 0, at most {MAX_BATCH_WAIT}",
    is_number,
    _up_to(MAX_BATCH_WAIT),
    in_seconds=True,
)
BOOL = Kind("True or False", is_bool, example="True")
BYTES = Kind("a whole number of bytes above 0", is_integer, is_positive, example="10000")
CALLABLE_PATH = Kind("the dotted path of a class or a function", is_string)
CLASS_PATH = Kind("the dotted path of a class", is_string)
CLASS_PATHS = Kind("a list of dotted paths of classes", is_strings)
CLIENT_OPTIONS = Kind(
    "a dict of options for Google's clients",
    _is_client_options,
    example="{'api_endpoint': 'europe-west1-pubsub.googleapis.com'}",
)
CODEC = Kind(
    "'json', 'bytes' or a function of the payload (no `async def`, and without `yield`)",
    lambda value: value in ("json", "bytes") or is_function_of_payload(value),
    example="'bytes'",
)
COUNT = Kind("a whole number from 1", is_integer, is_positive, example="2")
ENGINE = one_of("rele", "google")
FILTER = Kind(
    "a callable (no `async def`, and without `yield`), or several of them",
    is_filter,
    example="lambda **attributes: True",
)
FORKED = one_of("wait", "background")
PATH = Kind("a path", _is_path, example="'/run/secrets/pubsub.json'")
REDACT = Kind(
    "a function of data (no `async def`, and without `yield`)",
    is_function_of_payload,
    example="lambda data: '***'",
)
REGIONS = Kind(
    "a list of regions",
    lambda value: is_string(value) or is_strings(value),  # a string is deprecated
    example="['europe-west1']",
)
RETRY_POLICY = Kind("a rele.retry_policy.RetryPolicy", has_backoffs, example="RetryPolicy(10, 600)")
STRING = Kind("a string", is_string, example="'shop'")
TIMEOUT = Kind("a number of seconds above 0", is_number, _can_be_waited_for, in_seconds=True)
