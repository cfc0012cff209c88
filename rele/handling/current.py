"""The message that is being handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rele.declaration.skips import Skippable, current_call

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


class Handling(Skippable):
    """That a message is being handled: within the block it is the current one.

    Args:
        message: as hooks get it.
        subscription: whose handler it is for.
    """

    __slots__ = ("_checks", "message")

    subscription: Subscription

    def __init__(self, message: Message, subscription: Subscription) -> None:
        super().__init__(subscription)
        self.message = message
        self._checks: list[Callable[[], object]] = []

    def check_at_end(self, check: Callable[[], object]) -> None:
        """Call ``check`` once the handler has returned: the message has failed where it raises."""
        self._checks.append(check)

    def run_checks(self) -> None:
        """Call what was given to :meth:`check_at_end`."""
        for check in self._checks:
            check()


def current_handling() -> Handling | None:
    """The innermost block that the caller is in; ``None`` outside of a message."""
    call = current_call()
    return call if isinstance(call, Handling) else None


def current_message() -> ReceivedMessage | None:
    """The message whose handler, filter or hook calls this; ``None`` outside of those."""
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
