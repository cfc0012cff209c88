"""Acknowledging messages that would fail again however often they are redelivered."""

from __future__ import annotations

from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.middleware import BaseMiddleware, no_io


class UnrecoverableException(Exception):  # noqa: N818 - the name is the API's
    """Raised by a handler, itself or a subclass, so that the failed message is acknowledged."""


class UnrecoverableMiddleWare(BaseMiddleware):
    """Acknowledges the messages whose handler raised :class:`UnrecoverableException`."""

    @no_io
    def post_process_message_failure(
        self,
        subscription: Subscription,
        exception: BaseException,
        start_time: float,
        message: Message,
    ) -> None:
        if isinstance(exception, UnrecoverableException):
            message.ack()
