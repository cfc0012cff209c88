"""The message that is being handled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription


@dataclass(frozen=True)
class ReceivedMessage:
    """What Pub/Sub says of a message beside its payload."""

    id: str
    """Given by Pub/Sub; the same at each delivery."""
    publish_time: datetime
    """When Pub/Sub accepted it, in UTC."""
    delivery_attempt: int | None
    """The how manieth delivery it is, from 1; ``None`` without a dead-letter policy."""
    ordering_key: str
    """Empty where it was published without one."""
    attributes: Mapping[str, str]
    """All of them, as they were sent."""
    subscription: Subscription
    """The subscription that handles it."""


_current: ContextVar[tuple[Any, Subscription] | None] = ContextVar(
    "rele_current_message", default=None
)


Skip = Literal["filtered", "duplicate"]
"""Why the handler of a message that succeeds is not run."""

_skips: ContextVar[list[Skip] | None] = ContextVar("rele_skips", default=None)


def current_message() -> ReceivedMessage | None:
    """The message whose handler, filter or hook calls this; ``None`` outside of those."""
    current = google_message_in_hand()
    return None if current is None else _describe(*current)


def google_message_in_hand() -> tuple[Any, Subscription] | None:
    """Google's message and its subscription, as hooks get them; ``None`` outside of a message."""
    return _current.get()


@contextmanager
def handling(message: Any, subscription: Subscription) -> Iterator[None]:
    """Within the block, let Google's ``message`` be the current one."""
    token = _current.set((message, subscription))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def noting_skips() -> Iterator[list[Skip]]:
    """Within the block, note why handlers are not run."""
    skips: list[Skip] = []
    token = _skips.set(skips)
    try:
        yield skips
    finally:
        _skips.reset(token)


def note_skip(subscription: Subscription, reason: Skip) -> None:
    """Note that ``subscription`` does not run its handler with the current message."""
    skips, current = _skips.get(), _current.get()
    # A handler may call another subscription, whose filters say nothing about the message.
    if skips is not None and current is not None and current[1] is subscription:
        skips.append(reason)


def _describe(message: Any, subscription: Subscription) -> ReceivedMessage:
    return ReceivedMessage(
        id=message.message_id,
        publish_time=message.publish_time,
        delivery_attempt=message.delivery_attempt,
        ordering_key=message.ordering_key,
        attributes=dict(message.attributes),
        subscription=subscription,
    )
