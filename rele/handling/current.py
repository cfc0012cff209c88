"""The message that is being handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rele.declaration.skips import Skippable, current_call

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription
    from rele.engine.base import Message


@dataclass(frozen=True)
class ReceivedMessage:
    """The fields of a received message beside its payload."""

    id: str
    """The message id that Pub/Sub has assigned; the same at each delivery."""
    publish_time: datetime
    """When Pub/Sub accepted the message, in UTC."""
    delivery_attempt: int | None
    """The number of this delivery, from 1; ``None`` without a dead-letter policy."""
    ordering_key: str
    """Empty if the message was published without an ordering key."""
    attributes: Mapping[str, str]
    """All attributes, as they were sent."""
    subscription: Subscription
    """The subscription that handles the message."""


class Handling(Skippable):
    """The handling of a message: within the ``with`` block it is the current message.

    Args:
        message: the message, as hooks get it.
        subscription: the subscription whose handler is called.
    """

    __slots__ = ("checks", "error", "message", "result")

    subscription: Subscription

    def __init__(self, message: Message, subscription: Subscription) -> None:
        self.subscription = subscription
        self.skipped = None
        self.message = message
        self.checks: tuple[Callable[[], object], ...] = ()
        """What is called once the handler has returned; if one raises, the message has failed."""
        self.result: Any = None
        """The handler's return value; ``None`` if the message failed."""
        self.error: BaseException | None = None
        """Why the message failed; ``None`` if it succeeded."""

    def check_at_end(self, check: Callable[[], object]) -> None:
        """Call ``check`` once the handler has returned; if it raises, the message has failed."""
        self.checks += (check,)

    def run_checks(self) -> None:
        """Call the functions that were given to :meth:`check_at_end`."""
        for check in self.checks:
            check()


def current_handling() -> Handling | None:
    """The innermost handling that the caller belongs to; ``None`` if no message is handled."""
    call = current_call()
    return call if isinstance(call, Handling) else None


def current_message() -> ReceivedMessage | None:
    """The message whose handler, filter or hook calls this function; ``None`` for other callers."""
    handling = current_handling()
    return None if handling is None else _describe(handling.message, handling.subscription)


def _describe(message: Message, subscription: Subscription) -> ReceivedMessage:
    return ReceivedMessage(
        id=message.message_id,
        publish_time=message.publish_time,
        delivery_attempt=message.delivery_attempt,
        ordering_key=message.ordering_key,
        attributes=dict(message.attributes),
        subscription=subscription,
    )
