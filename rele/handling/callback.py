"""What an engine calls with each message of a subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rele.engine.base import as_message
from rele.handling.handle import handle
from rele.handling.settlement import SettlementPolicy

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription


class Callback:
    """What the client calls with each message of a subscription.

    Nothing that a filter, a handler, a decoder or a hook raises leaves it, since that would end
    the stream; and each message is settled exactly once.

    Args:
        subscription: whose messages they are.
        suffix: of the subscription's name in version 1.x; nothing depends on it.
        policy: how they are settled; by default as the declaration says, without a dead-letter
            topic.
    """

    def __init__(
        self,
        subscription: Subscription,
        suffix: str | None = None,
        *,
        policy: SettlementPolicy | None = None,
    ) -> None:
        self._subscription = subscription
        self._suffix = suffix
        self._policy = policy or SettlementPolicy(
            subscription, confirms_acks=bool(subscription.options.enable_exactly_once_delivery)
        )

    def __call__(self, message: Any) -> Any:
        """Handle ``message`` and settle it; return the handler's result (``None`` if it failed).

        Args:
            message: a :class:`rele.engine.base.Message`, or what is to be wrapped as one: Google's
                message, or a stand-in of a test.
        """
        return handle(as_message(message), self._subscription, self._policy).result
