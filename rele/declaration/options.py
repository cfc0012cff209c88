"""The options of a subscription: each one's name, type, range, field and documentation, once.

All else that knows the options takes them from the table :data:`OPTIONS`: the signatures of ``sub``
and ``Subscription``, what is checked, what is sent to Pub/Sub, and the manual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_type_hints

from rele.dead_letter_policy import DeadLetterPolicy
from rele.declaration.batch import Batch
from rele.messages.codec import Codec
from rele.retry_policy import RetryPolicy
from rele.schema.kinds import (
    ACK_DEADLINE,
    BOOL,
    CODEC,
    COUNT,
    FILTER,
    RETRY_POLICY,
    STRING,
    Kind,
    is_dict,
    is_duration,
    is_string,
    one_of,
)
from rele.schema.problems import did_you_mean
from rele.schema.settings import Setting

if TYPE_CHECKING:
    from typing_extensions import Unpack

DAY = 24 * 60 * 60
MIN_RETENTION, MAX_RETENTION = 10 * 60, 31 * DAY
MIN_EXPIRATION = DAY
"""Seconds (Subscription and ExpirationPolicy in the Pub/Sub API reference)."""

NEVER = "never"
"""As an expiration policy: Pub/Sub keeps the subscription, however long it is unused."""

MAX_LABELS = 64
# Letters of scripts without case are allowed, as in all labels of Google Cloud.
_LABEL_KEY = re.compile(r"[^\W\d_A-Z](?:[^\WA-Z]|-)*")
_LABEL_VALUE = re.compile(r"(?:[^\WA-Z]|-)*")
_MAX_LABEL_CHARACTERS = 63

Duration = float | timedelta
"""Seconds, or a timedelta."""


def seconds_of(duration: Duration) -> float:
    """The duration in seconds."""
    return duration.total_seconds() if isinstance(duration, timedelta) else duration


def _is_labels(value: Any) -> bool:
    return is_dict(value) and all(is_string(key) and is_string(value[key]) for key in value)


def _labels_are_allowed(labels: Mapping[str, str]) -> bool:
    return len(labels) <= MAX_LABELS and all(
        len(key) <= _MAX_LABEL_CHARACTERS
        and len(text) <= _MAX_LABEL_CHARACTERS
        and _LABEL_KEY.fullmatch(key)
        and _LABEL_VALUE.fullmatch(text)
        for key, text in labels.items()
    )


_FILTER_STRING = Kind(
    "a filter in Pub/Sub's syntax", is_string, example="'attributes.lang = \"en\"'"
)
_DEAD_LETTER_POLICY = Kind(
    "a rele.DeadLetterPolicy",
    lambda value: isinstance(value, DeadLetterPolicy),
    example="DeadLetterPolicy()",
)
_BATCH = Kind(
    "a rele.Batch",
    lambda value: isinstance(value, Batch),
    example="Batch(max_messages=500, max_wait=0.2)",
)
_RETENTION = Kind(
    f"a number of seconds, or a timedelta, from {MIN_RETENTION} to {MAX_RETENTION} s",
    is_duration,
    lambda value: MIN_RETENTION <= seconds_of(value) <= MAX_RETENTION,
    example="timedelta(days=7)",
    in_seconds=True,
)
_EXPIRATION = Kind(
    f"a number of seconds, or a timedelta, from {MIN_EXPIRATION} s, or {NEVER!r}",
    lambda value: is_duration(value) or value == NEVER,
    lambda value: value == NEVER or seconds_of(value) >= MIN_EXPIRATION,
    example=repr(NEVER),
    in_seconds=True,
)
_FLOW = one_of("adaptive", "fixed")
_LABELS = Kind(
    f"a dict of at most {MAX_LABELS} strings, of up to {_MAX_LABEL_CHARACTERS} lower-case "
    "letters, digits, - and _; keys begin with a letter",
    _is_labels,
    _labels_are_allowed,
    example="{'team': 'shop'}",
)
_LEASE = Kind(
    "a number of seconds, or a timedelta, above 0",
    is_duration,
    lambda value: seconds_of(value) > 0,
    example="3600",
    in_seconds=True,
)


@dataclass(frozen=True)
class Option(Setting):
    """One option of a subscription."""

    field: str | None = None
    """The field of Google's ``Subscription``; ``None`` if the option concerns only the worker."""
    is_fixed: bool = False
    """Whether Pub/Sub takes it only when the subscription is created."""
    is_of_handler: bool = False
    """Whether it says how the handler is called, so that there is no default for all of them."""


class PositionalOptions(TypedDict, total=False):
    """The options that ``sub`` and ``Subscription`` also take by position."""

    backend_filter_by: Annotated[
        str | None,
        Option(
            _FILTER_STRING,
            "filter that Pub/Sub applies; fixed when the subscription is created",
            field="filter",
            is_fixed=True,
        ),
    ]
    retry_policy: Annotated[
        RetryPolicy | None,
        Option(
            RETRY_POLICY,
            "``RetryPolicy(minimum_backoff, maximum_backoff)``: the time before a failed message "
            "is redelivered",
            field="retry_policy",
        ),
    ]


class KeywordOptions(TypedDict, total=False):
    """The options that ``sub`` and ``Subscription`` take by keyword alone."""

    ack_deadline: Annotated[
        int | None,
        Option(
            ACK_DEADLINE,
            "seconds, 10 to 600, after which Pub/Sub redelivers a message that no worker keeps "
            "leased, for example because it was killed",
            field="ack_deadline_seconds",
        ),
    ]
    dead_letter_policy: Annotated[
        DeadLetterPolicy | None,
        Option(
            _DEAD_LETTER_POLICY,
            "``DeadLetterPolicy(dead_letter_topic, max_delivery_attempts)``: the dead-letter queue "
            "for messages that were delivered too often. By default it is the topic "
            "``<subscription>-dead-letter``, after 10 attempts. Relé creates the topic, and a "
            "subscription on it that keeps its messages, and publishes to it what fails at the "
            "last attempt, with the error",
            field="dead_letter_policy",
        ),
    ]
    enable_message_ordering: Annotated[
        bool | None,
        Option(
            BOOL,
            "deliver the messages of an ordering key in order; fixed when the subscription is "
            "created",
            field="enable_message_ordering",
            is_fixed=True,
        ),
    ]
    enable_exactly_once_delivery: Annotated[
        bool | None,
        Option(
            BOOL,
            "do not redeliver a message whose acknowledgement Pub/Sub has confirmed",
            field="enable_exactly_once_delivery",
        ),
    ]
    message_retention_duration: Annotated[
        Duration | None,
        Option(
            _RETENTION,
            "how long unacknowledged messages are kept, 10 minutes to 31 days",
            field="message_retention_duration",
        ),
    ]
    retain_acked_messages: Annotated[
        bool | None,
        Option(
            BOOL,
            "whether acknowledged messages are kept too, to seek back to",
            field="retain_acked_messages",
        ),
    ]
    expiration_policy: Annotated[
        Duration | str | None,
        Option(
            _EXPIRATION,
            "after how long without use, one day or more, Pub/Sub deletes the subscription, or "
            '``"never"``',
            field="expiration_policy",
        ),
    ]
    labels: Annotated[
        Mapping[str, str] | None,
        Option(
            _LABELS,
            "a dict; labels that were set elsewhere are left as they are",
            field="labels",
        ),
    ]
    codec: Annotated[
        Codec | None,
        Option(
            CODEC,
            'how a payload becomes the handler\'s data: ``"json"``, by ``RELE["DECODER_PATH"]``; '
            '``"bytes"``, as it is; or a function of the payload',
        ),
    ]
    threads: Annotated[
        int | None,
        Option(
            COUNT,
            "how many messages a process handles at a time, or with ``batch`` how many batches; 2 "
            "by default, 100 for an ``async def``",
        ),
    ]
    max_messages: Annotated[
        int | None,
        Option(
            replace(COUNT, example="1000"),
            "the most messages that a process leases, running or waiting for a thread; 1000 by "
            "default (100 with ``ENGINE`` ``google``). ``flow`` says how many these are at first",
        ),
    ]
    max_bytes: Annotated[
        int | None,
        Option(
            replace(COUNT, example="100_000_000"),
            "how many bytes of messages a process leases; 100 MiB by default",
        ),
    ]
    flow: Annotated[
        str | None,
        Option(
            _FLOW,
            '``"adaptive"``: a process leases few messages at first, and more where handlers are '
            "idle because of that, up to ``max_messages``, so that it does not take what others "
            'could handle; ``"fixed"``: it leases ``max_messages`` from the start. Adaptive by '
            "default; ``ENGINE`` ``google`` has only fixed",
        ),
    ]
    streams: Annotated[
        int | None,
        Option(
            COUNT,
            "how many streams a process opens, which divide ``max_messages`` and ``max_bytes`` "
            "among them; 1 by default. Pub/Sub sends about 10 MB/s on each. ``ENGINE`` ``google`` "
            "has only one",
        ),
    ]
    max_lease_duration: Annotated[
        Duration | None,
        Option(
            _LEASE,
            "how long a process keeps a message leased before Pub/Sub may redeliver it; an hour "
            "by default",
        ),
    ]
    batch: Annotated[
        Batch | None,
        Option(
            _BATCH,
            "``Batch(max_messages, max_wait)``: call the handler with a list of messages instead "
            'of one message; needs ``ENGINE`` ``"rele"``. It belongs to the handler, so it has no '
            "default in ``SUBSCRIPTION_DEFAULTS``",
            is_of_handler=True,
        ),
    ]


class Options(PositionalOptions, KeywordOptions, total=False):
    """All options; ``None`` means that an option is not stated."""


_HINTS = get_type_hints(Options, include_extras=True)

OPTIONS: dict[str, Option] = {name: get_args(hint)[1] for name, hint in _HINTS.items()}
"""The options by their names as keyword arguments of ``@sub``."""

TYPES: dict[str, Any] = {name: get_args(hint)[0] for name, hint in _HINTS.items()}
"""The type annotation of each option."""

KEYWORD_ONLY = frozenset(KeywordOptions.__annotations__)
"""The names of the options that cannot be given by position."""

DEFAULT_OPTIONS = {name: option for name, option in OPTIONS.items() if not option.is_of_handler}
"""Those that ``RELE["SUBSCRIPTION_DEFAULTS"]`` may state."""

DEFAULTS_WITHOUT_OPTION: dict[str, Setting] = {
    "prefix": Setting(STRING, "the first part of the subscription's name"),
    "filter_by": Setting(FILTER, "a callable over the attributes, or several"),
}
"""What ``RELE["SUBSCRIPTION_DEFAULTS"]`` takes beside the options."""

ALIASES = {
    "ACK_DEADLINE": "ack_deadline",
    "DEFAULT_RETRY_POLICY": "retry_policy",
    "THREADS_PER_SUBSCRIPTION": "threads",
    "SUB_PREFIX": "prefix",
    "FILTER_SUBS_BY": "filter_by",
}
"""The older settings, and the key of ``RELE["SUBSCRIPTION_DEFAULTS"]`` that each stands for."""


class SubscriptionOptions:
    """What is stated for one subscription, or as the default for all.

    Each option is an attribute, ``None`` where it is not stated.

    Raises:
        TypeError: there is no option of that name.
        ValueError: a value is not what its option may be.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        for name, value in options.items():
            if name not in OPTIONS:
                raise TypeError(
                    f"A subscription has no option {name!r}. {did_you_mean(name, OPTIONS)}"
                )
            option = OPTIONS[name]
            if value is not None and (complaint := option.kind.complaint(value)):
                raise ValueError(f"{name} {complaint} Write {name}={option.example}.")
        _check_sizes(options.get("batch"), options.get("max_messages"))
        self._stated = {
            name: options[name]  # type: ignore[literal-required]
            for name in OPTIONS
            if options.get(name) is not None
        }

    def __getattr__(self, name: str) -> Any:
        if name in OPTIONS:
            return self._stated.get(name)
        raise AttributeError(f"A subscription has no option {name!r}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubscriptionOptions) and self.stated() == other.stated()

    def __repr__(self) -> str:
        stated = ", ".join(f"{name}={value!r}" for name, value in self._stated.items())
        return f"{type(self).__name__}({stated})"

    def stated(self) -> dict[str, Any]:
        """Those that are stated, by their names."""
        return dict(self._stated)

    def over(self, defaults: SubscriptionOptions) -> SubscriptionOptions:
        """These options, and those of ``defaults`` where these state nothing.

        A default for ``max_messages`` gives way to a batch that would not fit into it.
        """
        stated = self.stated()
        outstanding = stated.get("max_messages", defaults.max_messages)
        if self.batch is not None and outstanding is not None:
            stated["max_messages"] = max(outstanding, self.batch.max_messages)
        return SubscriptionOptions(**{**defaults.stated(), **stated})


def _check_sizes(batch: Batch | None, outstanding: int | None) -> None:
    """Refuse a batch that could never be complete.

    Raises:
        ValueError: it has more messages than may be outstanding.
    """
    if batch is not None and outstanding is not None and batch.max_messages > outstanding:
        raise ValueError(
            f"batch cannot have {batch.max_messages} messages while max_messages={outstanding} "
            f"are outstanding at most. Write max_messages={2 * batch.max_messages}, so that the "
            "next batch is received while one is handled."
        )
