"""The settings in ``RELE``, each with its kind of value, its default and its documentation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rele.schema.kinds import (
    ACK_DEADLINE,
    BATCH_BYTES,
    BATCH_MESSAGES,
    BATCH_WAIT,
    BOOL,
    BYTES,
    CALLABLE_PATH,
    CLASS_PATH,
    CLASS_PATHS,
    CLIENT_OPTIONS,
    COUNT,
    ENGINE,
    FILTER,
    FORKED,
    PATH,
    REDACT,
    REGIONS,
    RETRY_POLICY,
    STRING,
    TIMEOUT,
    Kind,
    is_dict,
    is_string,
    is_strings,
    one_of,
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
    keys: Mapping[str, Setting] = field(default_factory=dict)
    """The keys that the setting may have, if it is a dict of settings of its own."""

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


BATCHING: dict[str, Setting] = {
    "max_messages": Setting(BATCH_MESSAGES, "messages in a request, at most", 1_000),
    "max_bytes": Setting(BATCH_BYTES, "bytes of a request, serialized, at most", 1_000_000),
    "max_wait": Setting(
        BATCH_WAIT, "seconds that messages wait for others, while a request is under way", 0.01
    ),
}
"""The keys of ``RELE["PUBLISHER_BATCHING"]``."""

LIMITS: dict[str, Setting] = {
    "max_messages": Setting(COUNT, "outstanding messages of a process, at most", 100_000),
    "max_bytes": Setting(BYTES, "bytes of these messages, serialized, at most", 100 * 2**20),
}
"""The keys of ``RELE["PUBLISHER_LIMITS"]``."""

SETTINGS: dict[str, Setting] = {
    "GC_PROJECT_ID": Setting(
        replace(STRING, example="'my-project'").or_none(),
        "Google Cloud project; if unset, that of the credentials, or ``GOOGLE_CLOUD_PROJECT``",
    ),
    "GC_CREDENTIALS_PATH": Setting(
        PATH.or_none(),
        "file with Google credentials of any type (a service account's key, workload identity "
        "federation, impersonation …); if unset, Application Default Credentials",
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
    "DECODER_PATH": Setting(
        CALLABLE_PATH,
        "dotted path of a JSONDecoder, or of a function that makes data of a payload (see "
        "``docs/consuming.rst``)",
        "json.JSONDecoder",
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
        "how many messages of a subscription a process handles at a time; if unset, 100 of an "
        "``async def``",
        2,
    ),
    "SUBSCRIPTION_DEFAULTS": Setting(
        Kind("a dict of keyword arguments of @sub", is_dict, example="{'ack_deadline': 60}"),
        "defaults for the keyword arguments of ``@sub``",
        {},
    ),
    "RESOURCES": Setting(
        one_of(*RESOURCES_MODES),
        "what a worker may change on Pub/Sub: ``apply``, ``create``, ``verify`` or ``ignore`` (see "
        "`Topics and subscriptions`_)",
        "apply",
    ),
    "HANDLER_LIMIT": Setting(
        replace(TIMEOUT, example="600").or_none(),
        "seconds after which a handler that still runs turns ``/livez`` red, so that the process "
        "is restarted; if unset, none does (see ``docs/operations.rst``)",
    ),
    "LOG_PAYLOADS": Setting(
        BOOL,
        "whether payloads may be written to the log",
        True,
    ),
    "BACKLOG": Setting(
        one_of("monitoring").or_none(),
        "``monitoring``: how many messages wait is asked of Cloud Monitoring, once a minute (see "
        "``docs/operations.rst``); if unset, only an emulator is asked",
    ),
    "LOG_PAYLOAD_LIMIT": Setting(
        COUNT,
        "characters of the payload in the JSON line of a message that has failed, at most",
        1_000,
    ),
    "REDACT": Setting(
        REDACT.or_none(),
        "function of a message's data, or of the dict of its attributes, that returns what of it "
        "the log may show; if unset, values are hidden whose names look like those of secrets",
    ),
    "PUBLISHER_BACKEND": Setting(
        CLASS_PATH,
        "dotted path of the backend that sends messages (see `Publisher backends`_)",
        "rele.backends.pubsub.PubSubBackend",
    ),
    "ENGINE": Setting(
        ENGINE,
        "what publishes and consumes: ``rele`` (Relé's own engine, which alone reads the next "
        "four settings) or ``google`` (Google's client); see ``docs/publishing.rst`` and "
        "``docs/consuming.rst``",
        "rele",
    ),
    "PUBLISHER_BATCHING": Setting(
        Kind("a dict of limits of a request", is_dict, example="{'max_messages': 500}"),
        "dict of when gathered messages are sent: at ``max_messages`` (1000, which is also the "
        "highest value), at ``max_bytes`` (1000000; up to 10000000) or after ``max_wait`` seconds "
        "(0.01; up to 60)",
        {},
        keys=BATCHING,
    ),
    "PUBLISHER_LIMITS": Setting(
        Kind("a dict of limits of a process", is_dict, example="{'max_messages': 50000}"),
        "dict of how much a process may have outstanding: ``max_messages`` (100000) and "
        "``max_bytes`` (104857600); beyond that a publish waits, and then fails with "
        "``PublisherFull``",
        {},
        keys=LIMITS,
    ),
    "PUBLISHER_RETRY_FOR": Setting(
        TIMEOUT,
        "seconds for which a message is retried before it is reported as failed",
        600.0,
    ),
    "PUBLISHER_COMPRESSION": Setting(
        BYTES.or_none(),
        "bytes from which a request is compressed by gzip; if unset, none is",
    ),
    "PUBLISHER_FORKED": Setting(
        FORKED.or_none(),
        "whether a publish in a child process waits until its message is accepted (``wait``) or "
        "not (``background``); if unset, it waits if the child may end without sending it",
    ),
    "PUBLISHER_BLOCKING": Setting(
        BOOL,
        "default of ``publish(blocking=…)``",
        False,
    ),
    "PUBLISHER_TIMEOUT": Setting(
        TIMEOUT,
        "seconds that a blocking ``publish`` waits, that any publish waits at the "
        "``PUBLISHER_LIMITS``, and that a process waits at its end until its messages are accepted",
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
