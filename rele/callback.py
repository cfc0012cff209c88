"""What runs for each message of a subscription, and settles it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rele.encoding import decode
from rele.engine.settlement import Settlement, settled_once
from rele.exceptions import DecodeError
from rele.middleware import run_middleware_hook

if TYPE_CHECKING:
    from rele.subscription import Subscription

logger = logging.getLogger(__name__)


class Callback:
    """What the client calls with each message of a subscription.

    Nothing that a filter, a handler, a decoder or a hook raises leaves it, since that would end
    the stream; and each message is settled exactly once.

    Args:
        subscription: whose messages they are.
        suffix: kept for callers of old; nothing depends on it.
        failure_pause: seconds (10 to 600) for which a failed message is held back, where the
            subscription has no retry policy; ``None`` gives it back to the policy.
    """

    def __init__(
        self,
        subscription: Subscription,
        suffix: str | None = None,
        *,
        failure_pause: int | None = None,
    ) -> None:
        self._subscription = subscription
        self._suffix = suffix
        self._failure_pause = failure_pause

    def __call__(self, message: Any) -> Any:
        """Handle ``message`` and settle it; return the handler's result (``None`` if it failed).

        ``message`` is Google's ``google.cloud.pubsub_v1.subscriber.message.Message``.
        """
        with settled_once(message) as settlement:
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
            self._settle(settlement, message.ack)
            self._run_hook("post_process_message_success", self._subscription, start_time, message)
        self._run_hook("post_process_message")
        return result

    def _handle(self, message: Any) -> Any:
        data = decode(message.data)
        return self._subscription(data, **dict(message.attributes))

    def _fail(
        self, message: Any, error: BaseException, start_time: float, settlement: Settlement
    ) -> None:
        self._run_hook(
            "post_process_message_failure", self._subscription, error, start_time, message
        )
        if not isinstance(error, DecodeError):
            self._settle(settlement, partial(self._give_back, message))
            return
        # Delivered again, it would fail in the same way, for ever.
        logger.error(
            "The message %s of %s is acknowledged unhandled: %s It was %r.",
            message.message_id,
            self._subscription,
            error,
            message.data,
        )
        self._settle(settlement, message.ack)

    def _give_back(self, message: Any) -> None:
        if self._failure_pause is None:
            message.nack()
        else:
            # It comes back when that deadline is over and nobody extends it any more.
            message.modify_ack_deadline(self._failure_pause)
            message.drop()

    def _settle(self, settlement: Settlement, settle: Callable[[], Any]) -> None:
        if settlement.is_settled:
            return
        try:
            settle()
        except BaseException:
            logger.exception("A message of %s could not be settled.", self._subscription)

    def _run_hook(self, hook_name: str, *args: Any) -> None:
        try:
            run_middleware_hook(hook_name, *args)
        except BaseException:
            logger.exception("The hook %s was interrupted.", hook_name)
