"""The settings in ``RELE``, each with its kind of value, its default and its documentation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

from rele.schema.kinds import (
    ACK_DEADLINE,
    BOOL,
    CLASS_PATH,
    CLASS_PATHS,
    CLIENT_OPTIONS,
    COUNT,
    FILTER,
    PATH,
    REGIONS,
    RETRY_POLICY,
    STRING,
    TIMEOUT,
    Kind,
    is_dict,
    is_string,
    is_strings,
)
from rele.schema.problems import Problem

DEFAULT_ACK_DEADLINE = 60
"""Seconds, if neither ``RELE`` nor the environment sets it."""

RESOURCES_MODES = ("apply", "create", "verify", "ignore")


@dataclass(frozen=True)
class Setting:
    """One key of ``RELE``, or of a dict in it."""

    kind: Kind
    """The values that the setting may have."""
    documentation: str
    """The text of the manual about the setting (reStructuredText, without a full stop)."""
    default: Any = None
    """The value if the setting is not given."""
    default_text: str = ""
    """The default as the manual shows it, if it is computed elsewhere."""

    def problem(self, name: str, value: Any, *, of: str = "RELE") -> Problem | None:
        """The problem with ``value``, if there is one, as the key ``name`` of the dict ``of``."""
        what_is_wrong = self.kind.complaint(value)
        if what_is_wrong is None:
            return None
        return Problem(
            "rele.E003" if self.kind.accepts(value) else "rele.E002",
            f"{of}[{name!r}] {what_is_wrong}",
            f"Write {name!r}: {self.example}.",
        )

    @property
    def example(self) -> str:
        """A valid value, as Python code."""
        return repr(self.default) if self.default else self.kind.example


SETTINGS: dict[str, Setting] = {
    "GC_PROJECT_ID": Setting(
        replace(STRING, example="'my-project'").or_none(),
        "Google Cloud project; if unset, that of the credentials, or ``GOOGLE_CLOUD_PROJECT``",
    ),
    "GC_CREDENTIALS_PATH": Setting(
        PATH.or_none(),
        "key file of a service account; if unset, Application Default Credentials",
    ),
    "GC_STORAGE_REGION": Setting(
        REGIONS.or_none(),
        "list of regions where topics that Relé creates keep their messages",
    ),
    "CLIENT_OPTIONS": Setting(
        CLIENT_OPTIONS.or_none(),
        "dict of options for Google's clients, such as ``api_endpoint``",
    ),
    "APP_NAME": Setting(
        STRING.or_none(),
        "``agent`` in the log records",
    ),
    "SUB_PREFIX": Setting(
        STRING.or_none(),
        "prefix of subscriptions that have none",
    ),
    "FILTER_SUBS_BY": Setting(
        FILTER.or_none(),
        "filter of subscriptions that have none",
    ),
    "MIDDLEWARE": Setting(
        CLASS_PATHS,
        "list of dotted paths",
        ["rele.contrib.LoggingMiddleware"],
    ),
    "ENCODER_PATH": Setting(
        CLASS_PATH,
        "dotted path of a JSONEncoder; ``django.core.serializers.json.DjangoJSONEncoder`` encodes "
        "dates, ``Decimal`` and ``UUID``",
        "json.JSONEncoder",
    ),
    "ACK_DEADLINE": Setting(
        ACK_DEADLINE.or_none(),
        "seconds, 10 to 600, of subscriptions that Relé creates; if unset, "
        "``DEFAULT_ACK_DEADLINE`` of the environment",
        default_text=str(DEFAULT_ACK_DEADLINE),
    ),
    "DEFAULT_RETRY_POLICY": Setting(
        RETRY_POLICY.or_none(),
        "``RetryPolicy`` of subscriptions that have none",
    ),
    "THREADS_PER_SUBSCRIPTION": Setting(
        COUNT,
        "how many messages of a subscription a process handles at a time",
        2,
    ),
    "SUBSCRIPTION_DEFAULTS": Setting(
        Kind("a dict of keyword arguments of @sub", is_dict, example="{'ack_deadline': 60}"),
        "defaults for the keyword arguments of ``@sub``",
        {},
    ),
    "RESOURCES": Setting(
        Kind(
            "'apply', 'create', 'verify' or 'ignore'",
            is_string,
            lambda value: value in RESOURCES_MODES,
        ),
        "what a worker may change on Pub/Sub: ``apply``, ``create``, ``verify`` or ``ignore`` (see "
        "`Topics and subscriptions`_)",
        "apply",
    ),
    "LOG_PAYLOADS": Setting(
        BOOL,
        "whether payloads may be written to the log",
        True,
    ),
    "PUBLISHER_BACKEND": Setting(
        CLASS_PATH,
        "dotted path of the backend that sends messages (see `Publisher backends`_)",
        "rele.backends.pubsub.PubSubBackend",
    ),
    "PUBLISHER_BLOCKING": Setting(
        BOOL,
        "default of ``publish(blocking=…)``",
        False,
    ),
    "PUBLISHER_TIMEOUT": Setting(
        TIMEOUT,
        "seconds that a blocking ``publish`` waits, and that a process waits at its end until its "
        "messages are accepted",
        3.0,
    ),
    "SHUTDOWN_TIMEOUT": Setting(
        TIMEOUT,
        "seconds that running handlers have to finish when the worker stops",
        30.0,
    ),
}

DEFAULTS: dict[str, Any] = {name: setting.default for name, setting in SETTINGS.items()}


def storage_regions(policy: Any, stacklevel: int = 2) -> list[str] | None:
    """A ``message_storage_policy`` as a list of regions, or ``None``.

    A single region as a string is deprecated. ``stacklevel`` selects the call that the warning is
    about; 1 is the caller of this function.

    Raises:
        TypeError: ``policy`` is neither a list, a tuple, a string nor ``None``.
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
