"""Log records with the whole payload, also of messages that succeeded."""

from __future__ import annotations

import logging
from typing import Any

from rele.contrib.logging_middleware import LoggingMiddleware
from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.middleware import needed_if, no_io


class VerboseLoggingMiddleware(LoggingMiddleware):
    """As LoggingMiddleware, with ``subscription_message`` in the record of success, too.

    The payload is never cut, as it is in Google's own text of a message, but redacted by
    ``REDACT``. With ``LOG_PAYLOADS`` off the record has its size and SHA-256 instead.
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
            f"Message {{ data: {self._shown(message.data)}, "
            f"ordering_key: {getattr(message, 'ordering_key', '')!r}, "
            f"attributes: {dict(self._view.attributes(message.attributes))!r} }}"
        )

    def _shown(self, payload: Any) -> str:
        """The payload in one line: as text if it is UTF-8, otherwise as bytes."""
        return repr(self._view.text_of(payload) if isinstance(payload, bytes) else payload)
