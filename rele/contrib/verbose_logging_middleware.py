"""Log records with the whole payload, also of messages that succeeded."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from rele.contrib.logging_middleware import LoggingMiddleware
from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.middleware import needed_if, no_io


class VerboseLoggingMiddleware(LoggingMiddleware):
    """As LoggingMiddleware, with ``subscription_message`` in the record of success, too.

    The payload is never cut, as it is in Google's own text of a message. With ``LOG_PAYLOADS`` off
    the record has its size and SHA-256 instead.
    """

    @no_io
    @needed_if(lambda middleware: middleware._logger.isEnabledFor(logging.INFO))
    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Message
    ) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        self._logger.info(
            "Processed a message for %s",
            subscription,
            extra={
                "metrics": self._processing("succeeded", subscription, message, start_time),
                "subscription_message": self._subscription_message(message),
            },
        )

    def _text_of(self, message: Message) -> str:
        return (
            f"Message {{ data: {_shown(message.data)}, "
            f"ordering_key: {getattr(message, 'ordering_key', '')!r}, "
            f"attributes: {dict(message.attributes)!r} }}"
        )


def _shown(payload: Any) -> str:
    """The payload in one line: as text if it is UTF-8, otherwise as bytes."""
    if isinstance(payload, bytes):
        # Decoding with errors="replace" would block every thread: for seconds at 10 MB.
        with suppress(UnicodeDecodeError):
            payload = payload.decode("utf-8")
    return repr(payload)
