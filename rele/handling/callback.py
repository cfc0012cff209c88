"""What runs for each message of a subscription, and settles it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rele.declaration.handlers import check_result
from rele.engine.settlement import Settlement, settled_once
from rele.handling.current import handling
from rele.handling.settling import Settling
from rele.messages.codec import decode
from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.declaration.subscription import Subscription

logger = logging.getLogger(__name__)


class Callback:
    """What the client calls with each message of a subscription.

    Nothing that a filter, a handler, a decoder or a hook raises leaves it, since that would end
    the stream; and each message is settled exactly once.

    Args:
        subscription: whose messages they are.
        suffix: kept for callers of old; nothing depends on it.
        settling: how they are settled; by default as the declaration says, without a dead-letter
            topic.
    """

    def __init__(
        self,
        subscription: Subscription,
        suffix: str | None = None,
        *,
        settling: Settling | None = None,
    ) -> None:
        self._subscription = subscription
        self._suffix = suffix
        self._settling = settling or Settling(
            subscription, confirms_acks=bool(subscription.options.enable_exactly_once_delivery)
        )

    def __call__(self, message: Any) -> Any:
        """Handle ``message`` and settle it; return the handler's result (``None`` if it failed).

        ``message`` is Google's ``google.cloud.pubsub_v1.subscriber.message.Message``.
        """
        confirms = self._settling.confirms_acks
        with (
            handling(message, self._subscription),
            settled_once(message, with_response=confirms) as settlement,
        ):
            try:
                return self._process(message, settlement)
            except BaseException:
                logger.exception("A message of %s was given up.", self._subscription)
                self._settle(settlement, message.nack)
                return None

    def _process(self, message: Any, settlement: Settlement) -> Any:
        start_time = time.time()
        self._run_hook("pre_process_message", self._subscription, message)
        try:
            result = self._handle(message)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the message has failed
            self._fail(message, error, start_time, settlement)
            result = None
        else:
            self._succeed(message, start_time, settlement)
        self._run_hook("post_process_message")
        return result

    def _handle(self, message: Any) -> Any:
        data = decode(message.data)
        result = self._subscription(data, **dict(message.attributes))
        check_result(result, f"The handler of {self._subscription}")
        return result

    def _succeed(self, message: Any, start_time: float, settlement: Settlement) -> None:
        self._settle(settlement, message.ack)
        self._confirm(message, settlement)
        self._run_hook("post_process_message_success", self._subscription, start_time, message)

    def _fail(
        self, message: Any, error: BaseException, start_time: float, settlement: Settlement
    ) -> None:
        self._run_hook(
            "post_process_message_failure", self._subscription, error, start_time, message
        )
        self._settle(settlement, partial(self._settling.settle_failed, message, error))
        self._confirm(message, settlement)

    def _settle(self, settlement: Settlement, settle: Callable[[], Any]) -> None:
        if settlement.is_settled:
            return
        try:
            settle()
        except BaseException:
            logger.exception("A message of %s could not be settled.", self._subscription)

    def _confirm(self, message: Any, settlement: Settlement) -> None:
        if self._settling.confirms_acks:
            self._settling.confirm(message, settlement)

    def _run_hook(self, hook_name: str, *args: Any) -> None:
        try:
            run_middleware_hook(hook_name, *args)
        except BaseException:
            logger.exception("The hook %s was interrupted.", hook_name)
