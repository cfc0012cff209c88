"""Log records with the whole payload, of success too."""

from __future__ import annotations

from typing import Any

from rele.contrib.logging_middleware import LoggingMiddleware
from rele.subscription import Subscription


class VerboseLoggingMiddleware(LoggingMiddleware):
    """As LoggingMiddleware, with ``subscription_message`` in the record of success, too.

    The payload is never cut, as Google's own text of a message is. With ``LOG_PAYLOADS`` off it is
    told by its size and SHA-256 alone.
    """

    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Any
    ) -> None:
        self._logger.info(
            "Processed a message for %s",
            subscription,
            extra={
                "metrics": self._processing("succeeded", subscription, message, start_time),
                "subscription_message": self._subscription_message(message),
            },
        )

    def _text_of(self, message: Any) -> str:
        payload = message.data
        text = (
            payload.decode("utf-8", "backslashreplace") if isinstance(payload, bytes) else payload
        )
        return (
            f"Message {{ data: {text!r}, ordering_key: {getattr(message, 'ordering_key', '')!r}, "
            f"attributes: {dict(message.attributes)!r} }}"
        )
