"""The attributes of a dead letter: which subscription it comes from, and why its handler failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

from rele.exceptions import Decision, Retry
from rele.messages.limits import (
    MAX_ATTRIBUTES,
    MAX_REQUEST_BYTES,
    MAX_VALUE_BYTES,
    request_size,
)

_PREFIX = "CloudPubSubDeadLetterSource"

# As Pub/Sub itself calls them ("Dead-letter topics", Google Cloud documentation).
SUBSCRIPTION = f"{_PREFIX}Subscription"
PROJECT = f"{_PREFIX}SubscriptionProject"
PUBLISH_TIME = f"{_PREFIX}TopicPublishTime"
DELIVERY_COUNT = f"{_PREFIX}DeliveryCount"

# Relé's own, with the letters that Relé publishes.
ERROR_TYPE = "rele_error_type"
ERROR = "rele_error"
HANDLER = "rele_handler"

_FAILURE = frozenset({ERROR_TYPE, ERROR, HANDLER})
_OF_A_LETTER = _FAILURE | {SUBSCRIPTION, PROJECT, PUBLISH_TIME, DELIVERY_COUNT}


def source_attributes(
    subscription: str, published: datetime, delivery_attempt: int | None
) -> dict[str, str]:
    """The attributes that Pub/Sub would add.

    Args:
        subscription: the full path of the subscription that the message comes from.
        published: when it was published to that subscription's topic.
        delivery_attempt: the number of its last delivery, if it is known.
    """
    _, project, _, name = subscription.split("/")
    time = published.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    attributes = {
        SUBSCRIPTION: name,
        PROJECT: project,
        PUBLISH_TIME: time.replace("+00:00", "Z"),
    }
    if delivery_attempt:
        attributes[DELIVERY_COUNT] = str(delivery_attempt)
    return attributes


def failure_attributes(error: BaseException, handler: str) -> dict[str, str]:
    """What is kept of ``error``, which the function at the dotted path ``handler`` has raised.

    The error that a handler has decided about says more than its decision: see
    :func:`error_behind`.
    """
    shown = error_behind(error)
    attributes = {
        ERROR_TYPE: type_name(shown),
        ERROR: _first_line(error) or _first_line(shown),
        HANDLER: handler,
    }
    return {name: _cut(value) for name, value in attributes.items() if value}


def error_behind(error: BaseException) -> BaseException:
    """What a handler has decided about, if ``error`` is its decision; otherwise ``error`` itself.

    That is the error of ``raise DeadLetter() from error``, and for a decision without a message of
    the handler, the one that was being handled when it was raised.
    """
    if not isinstance(error, Decision):
        return error
    cause = error.__cause__
    has_message = bool(_first_line(error)) and not isinstance(error, Retry)
    if cause is None and not error.__suppress_context__ and not has_message:
        cause = error.__context__
    return error if cause is None else cause


def letter_attributes(
    topic: str,
    data: bytes,
    attributes: Mapping[str, str],
    ordering_key: str,
    *additions: Mapping[str, str],
) -> dict[str, str]:
    """The attributes of a message that is published to a dead-letter topic.

    An addition for which there is no room is left out, and so are those after it: the letter itself
    matters more.

    Args:
        topic: the full path of the dead-letter topic.
        data: the message's payload.
        attributes: of the message.
        ordering_key: of the message.
        additions: what is to be added, the most important first.
    """
    kept = {name: value for name, value in attributes.items() if name not in _FAILURE}
    _, project, _, name = topic.split("/")
    for addition in additions:
        more = {**kept, **addition}
        size = request_size(name, data, more, ordering_key, project_length=len(project))
        if len(more) > MAX_ATTRIBUTES or size > MAX_REQUEST_BYTES:
            break
        kept = more
    return kept


def without_letter_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes with which the message was published first."""
    return {name: value for name, value in attributes.items() if name not in _OF_A_LETTER}


def type_name(error: BaseException) -> str:
    """The name of its class, with the module unless that is Python's or Relé's own."""
    kind = type(error)
    if kind.__module__ in ("builtins", "rele.exceptions"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _first_line(error: BaseException) -> str:
    try:
        lines = str(error).splitlines()
    except Exception:  # noqa: BLE001 - the error's own code runs here
        return ""
    return next((line.strip() for line in lines if line.strip()), "")


def _cut(value: str) -> str:
    """As much of ``value`` as an attribute takes, in valid Unicode."""
    return value.encode("utf-8", "replace")[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
