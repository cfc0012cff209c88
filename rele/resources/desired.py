"""The declarations, as the fields of Google's requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud import pubsub_v1
from google.protobuf.duration_pb2 import Duration

from rele.dead_letter_policy import DeadLetterPolicy
from rele.declaration.options import KEYWORD_ONLY, MAX_RETENTION, NEVER, OPTIONS, seconds_of
from rele.retry_policy import RetryPolicy

GOOGLE_FIELDS = {name: option.field for name, option in OPTIONS.items() if option.field}
"""The fields of Google's Subscription by the names of the options in ``@sub``."""

NEWER_OPTIONS = GOOGLE_FIELDS.keys() & KEYWORD_ONLY
"""The options with such a field that Relé 1.x does not have."""

DEFAULT_RETRY_POLICY = RetryPolicy(10, 600)
"""For new subscriptions that state none, with Google's default backoffs in seconds.

Without a policy Pub/Sub would redeliver a failed message at once, again and again.
"""


@dataclass(frozen=True, eq=False)
class Desired:
    """A subscription as it is declared; ``path`` and ``topic`` are full paths.

    ``stated`` are the fields that it must have on the server; ``for_new`` are further fields that
    it gets when it is created.
    """

    path: str
    topic: str
    stated: Mapping[str, Any]
    for_new: Mapping[str, Any]
    is_for_dead_letters: bool = False
    """Whether the subscription is not declared, but needed to keep dead letters."""

    @property
    def dead_letter_topic(self) -> str | None:
        """The full path of the dead-letter topic, if a dead-letter policy is stated."""
        policy = self.stated.get("dead_letter_policy")
        return None if policy is None else str(policy.dead_letter_topic)

    def creation_request(self) -> dict[str, Any]:
        """The request that creates the subscription."""
        return {"name": self.path, "topic": self.topic, **self.for_new, **self.stated}


def dead_letter_subscription(topic: str) -> Desired:
    """The subscription that keeps the messages of a dead-letter topic for as long as possible.

    Its id and its project are those of the topic. ``topic`` is a full path.
    """
    return Desired(
        topic.replace("/topics/", "/subscriptions/"),
        topic,
        stated={},
        for_new=google_fields(
            {"expiration_policy": NEVER, "message_retention_duration": MAX_RETENTION}
        ),
        is_for_dead_letters=True,
    )


def google_fields(
    options: Mapping[str, Any], project_id: str = "", subscription: str = ""
) -> dict[str, Any]:
    """The fields of Google's Subscription that ``options`` ask for.

    Args:
        options: the stated options by name; those without a field are left out.
        project_id: the subscription's project, for the path of a dead-letter topic.
        subscription: the subscription's id, for the default name of a dead-letter topic.
    """
    converters: dict[str, Callable[[Any], Any]] = {
        "retry_policy": to_google_retry_policy,
        "dead_letter_policy": lambda policy: to_google_dead_letter_policy(
            policy, project_id, subscription
        ),
        "message_retention_duration": lambda value: _to_duration(seconds_of(value)),
        "expiration_policy": _to_google_expiration_policy,
        "labels": dict,
    }
    return {
        field: converters.get(option, _as_it_is)(options[option])
        for option, field in GOOGLE_FIELDS.items()
        if option in options
    }


def to_google_retry_policy(policy: RetryPolicy) -> Any:
    """The same policy as Google's message of that name."""
    return pubsub_v1.types.RetryPolicy(
        minimum_backoff=_to_duration(policy.minimum_backoff),
        maximum_backoff=_to_duration(policy.maximum_backoff),
    )


def to_google_dead_letter_policy(
    policy: DeadLetterPolicy, project_id: str, subscription: str
) -> Any:
    return pubsub_v1.types.DeadLetterPolicy(
        dead_letter_topic=policy.topic_path(project_id, subscription),
        max_delivery_attempts=policy.max_delivery_attempts,
    )


def _to_google_expiration_policy(value: Any) -> Any:
    # A policy without a ttl means "never"; no policy at all means 31 days.
    ttl = {} if value == NEVER else {"ttl": _to_duration(seconds_of(value))}
    return pubsub_v1.types.ExpirationPolicy(**ttl)


def _to_duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1_000_000_000))
    return duration


def _as_it_is(value: Any) -> Any:
    return value
