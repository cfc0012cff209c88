"""The message that is being handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rele.declaration.skips import Skip, Skippable, current_call

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


class _Checked(Skippable):
    """A call of a handler, and what is checked after it."""

    __slots__ = ("checks",)

    subscription: Subscription

    checks: tuple[Callable[[], object], ...]
    """What is called once the handler has returned; if one raises, the handler has failed."""

    def check_at_end(self, check: Callable[[], object]) -> None:
        """Call ``check`` once the handler has returned; if it raises, the handler has failed."""
        self.checks += (check,)

    def run_checks(self) -> None:
        """Call the functions that were given to :meth:`check_at_end`."""
        for check in self.checks:
            check()


class Handling(_Checked):
    """The handling of a message: within the ``with`` block it is the current message.

    Args:
        message: the message, as hooks get it.
        subscription: the subscription whose handler is called.
    """

    __slots__ = ("error", "message", "result")

    def __init__(self, message: Message, subscription: Subscription) -> None:
        self.subscription = subscription
        self.skipped = None
        self.checks = ()
        self.message = message
        self.result: Any = None
        """The handler's return value; ``None`` if the message failed."""
        self.error: BaseException | None = None
        """Why the message failed; ``None`` if it succeeded."""


class BatchHandling(_Checked):
    """The handling of a batch.

    Args:
        subscription: the subscription whose handler is called.
        messages: in the order in which they were received.
    """

    __slots__ = ("_skipped", "message", "messages")

    def __init__(self, subscription: Subscription, messages: Sequence[Message]) -> None:
        super().__init__(subscription)
        self.checks = ()
        self.messages = messages
        self.message: Message | None = None
        """The message whose hook or filter runs; ``None`` while the handler runs."""
        self._skipped: dict[Message, Skip] = {}

    def skip(self, message: Message, reason: Skip) -> None:
        """Note that ``message`` succeeds without the handler."""
        self._skipped[message] = reason

    def why_skipped(self, message: Message) -> Skip | None:
        """Why ``message`` succeeds without the handler; ``None`` if it does not."""
        return self._skipped.get(message)


def current_handling() -> Handling | BatchHandling | None:
    """The innermost handling that the caller belongs to; ``None`` if no message is handled."""
    call = current_call()
    return call if isinstance(call, (Handling, BatchHandling)) else None


def current_message() -> ReceivedMessage | None:
    """The message whose handler, filter or hook calls this function; ``None`` for other callers.

    A handler of batches has no current message.
    """
    handling = current_handling()
    if handling is None or handling.message is None:
        return None
    return _describe(handling.message, handling.subscription)


def _describe(message: Message, subscription: Subscription) -> ReceivedMessage:
    return ReceivedMessage(
        id=message.message_id,
        publish_time=message.publish_time,
        delivery_attempt=message.delivery_attempt,
        ordering_key=message.ordering_key,
        attributes=dict(message.attributes),
        subscription=subscription,
    )
