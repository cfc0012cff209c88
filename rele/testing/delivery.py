"""Running a sub as the worker would, without a server."""

from __future__ import annotations

import itertools
import json
import queue
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage
from google.pubsub_v1.types import PubsubMessage

from rele import config as configuration
from rele.config import Config
from rele.engine.base import Message, as_message
from rele.exceptions import ConfigurationError
from rele.handling.handle import handle
from rele.handling.settlement import SettlementPolicy
from rele.messages.codec import encode
from rele.subscription import Subscription

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Delivery:
    """What became of a message."""

    acked: bool
    """Whether it was acknowledged, and is not redelivered."""
    nacked: bool
    """Whether it was nacked, and is redelivered."""
    exception: BaseException | None
    """Why it failed."""
    result: Any
    """What the handler returned."""
    dead_lettered: bool = False
    """Whether it was published to the dead-letter topic, and then acknowledged."""
    handled: bool = False
    """Whether the handler has run, without an exception."""
    filtered: bool = False
    """Whether a filter turned it away, so that it was acknowledged without the handler."""
    duplicate: bool = False
    """Whether the inbox has it already, so that it was acknowledged without the handler."""


def deliver(
    sub: Subscription, data: Any, /, *, raise_exceptions: bool = False, **attributes: str
) -> Delivery:
    """Run ``sub`` with a message as the worker would: filters, middleware and all.

    Nothing is raised for a message that fails, as nothing is in the worker, unless it is asked for:
    the result has the exception.

    Args:
        sub: what ``@sub`` has made.
        data: what was published; ``bytes`` are taken as the payload itself.
        raise_exceptions: raise what the message failed with, after it was settled.
        attributes: those of the message. ``published_at`` is added where it is not given, and
            ``ordering_key`` is the message's ordering key.

    Raises:
        TypeError: ``sub`` is a plain function, or the class of a subscription.
    """
    if not isinstance(sub, Subscription):
        raise TypeError(
            f"deliver() takes a subscription, which `@sub(topic=…)` makes of a function, and an "
            f"instance of a subclass of Subscription is; not {sub!r}."
        )
    payload = data if isinstance(data, bytes) else encode(data, _configured_encoder())
    dead_letters: list[Message] = []
    policy = _policy_of(sub, dead_letters.append)
    message = _message(
        payload,
        {"published_at": str(time.time()), **attributes},
        # Pub/Sub counts attempts only where there is a dead-letter policy; 0 stands for none.
        delivery_attempt=0 if policy.send_to_dead_letters is None else 1,
    )
    outcome = handle(message, sub, policy)
    if raise_exceptions and outcome.error is not None:
        raise outcome.error
    return Delivery(
        acked=outcome.settled_as == "ack",
        nacked=outcome.settled_as in ("nack", "drop"),
        exception=outcome.error,
        result=outcome.result,
        dead_lettered=bool(dead_letters),
        handled=outcome.error is None and outcome.skipped is None,
        filtered=outcome.skipped == "filtered",
        duplicate=outcome.skipped == "duplicate",
    )


def _policy_of(
    sub: Subscription, send_to_dead_letters: Callable[[Message], None]
) -> SettlementPolicy:
    """As the worker has it from the declaration and the project's settings."""
    try:
        config = configuration.current()
    except ConfigurationError:
        config = Config({})
    options = sub.options.over(config.subscription_defaults)
    return SettlementPolicy(
        sub,
        confirms_acks=bool(options.enable_exactly_once_delivery),
        send_to_dead_letters=None if options.dead_letter_policy is None else send_to_dead_letters,
        logs_payloads=config.log_payloads,
    )


def _message(payload: bytes, attributes: Mapping[str, str], delivery_attempt: int) -> Message:
    number = next(_numbers)
    attributes = dict(attributes)
    message = PubsubMessage(
        data=payload,
        message_id=str(number),
        ordering_key=attributes.pop("ordering_key", ""),
        attributes=attributes,
    )
    pb = PubsubMessage.pb(message)
    pb.publish_time.GetCurrentTime()
    return as_message(
        GoogleMessage(
            pb,
            ack_id=f"test-{number}",
            delivery_attempt=delivery_attempt,
            request_queue=queue.Queue(),
        )
    )


def _configured_encoder() -> type[json.JSONEncoder]:
    """The project's; its middleware is registered on the way, where there is a project."""
    try:
        return configuration.current().encoder
    except ConfigurationError:
        return json.JSONEncoder
