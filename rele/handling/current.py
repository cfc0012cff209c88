"""The message that is being handled."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message


@dataclass(frozen=True)
class ReceivedMessage:
    """What Pub/Sub says of a message beside its payload."""

    id: str
    """Given by Pub/Sub; the same at each delivery."""
    publish_time: datetime
    """When Pub/Sub accepted it, in UTC."""
    delivery_attempt: int | None
    """The number of this delivery, from 1; ``None`` without a dead-letter policy."""
    ordering_key: str
    """Empty where it was published without one."""
    attributes: Mapping[str, str]
    """All of them, as they were sent."""
    subscription: Subscription
    """The subscription that handles it."""


Skip = Literal["filtered", "duplicate"]
"""Why the handler of a message that succeeds is not run."""


class Handling:
    """That a message is being handled: within the block it is the current one.

    Args:
        message: as hooks get it.
        subscription: whose handler it is for.
    """

    __slots__ = ("_token", "message", "skipped", "subscription")

    _token: Token[Handling | None]

    def __init__(self, message: Message, subscription: Subscription) -> None:
        self.message = message
        self.subscription = subscription
        self.skipped: Skip | None = None
        """Why the handler was not run, where it was not."""

    def __enter__(self) -> Handling:
        self._token = _current.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._token)


_current: ContextVar[Handling | None] = ContextVar("rele_current_message", default=None)


def current_handling() -> Handling | None:
    """The innermost block that the caller is in; ``None`` outside of a message."""
    return _current.get()


def current_message() -> ReceivedMessage | None:
    """The message whose handler, filter or hook calls this; ``None`` outside of those."""
    handling = _current.get()
    return None if handling is None else _describe(handling.message, handling.subscription)


def note_skip(subscription: Subscription, reason: Skip) -> None:
    """Note that ``subscription`` does not run its handler with the current message."""
    handling = _current.get()
    # A handler may call another subscription, whose filters say nothing about the message.
    if handling is not None and handling.subscription is subscription:
        handling.skipped = reason


def _describe(message: Message, subscription: Subscription) -> ReceivedMessage:
    return ReceivedMessage(
        id=message.message_id,
        publish_time=message.publish_time,
        delivery_attempt=message.delivery_attempt,
        ordering_key=message.ordering_key,
        attributes=dict(message.attributes),
        subscription=subscription,
    )
