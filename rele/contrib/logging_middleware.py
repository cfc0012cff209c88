"""Log records of everything that is published and processed, for people and for programs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from rele.declaration.subscription import Subscription
from rele.engine.base import Message
from rele.exceptions import Decision
from rele.handling.settlement import describe_without_payload
from rele.messages.codec import encode
from rele.messages.explaining import in_one_line, origin_of
from rele.messages.payload_view import PayloadView, fingerprint
from rele.messages.redaction import hide_secrets
from rele.middleware import BaseMiddleware, needed_if, no_io
from rele.runtime.own_records import log_publishing
from rele.sending.publication import failed_attributes


class LoggingMiddleware(BaseMiddleware):
    """Writes one record for each step, with ``extra`` in the form that Prometheus exporters read.

    The records of publishing have ``pubsub_publisher_attrs`` (a dict) and ``metrics``; those of
    processing have ``metrics`` with status ``received``, ``succeeded`` or ``failed``. A failure
    adds ``subscription_message``.
    """

    _agent: str | None = None
    _config: Any = None
    _logs_payloads = True
    _view = PayloadView()

    def __init__(self) -> None:
        self._logger = logging.getLogger(type(self).__module__)

    def setup(self, config: Any, **kwargs: Any) -> None:
        self._config = config
        self._agent = config.app_name
        self._logs_payloads = getattr(config, "log_payloads", True)
        self._view = getattr(config, "payload_view", self._view)

    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):  # or the record is not even made
            log_publishing(
                self._logger,
                logging.DEBUG,
                "Publishing to %s",
                topic,
                extra=self._publication(topic, attrs),
            )

    @needed_if(lambda middleware: middleware._logger.isEnabledFor(logging.INFO))
    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(logging.INFO):
            log_publishing(
                self._logger,
                logging.INFO,
                "Published to %s",
                topic,
                extra=self._publication(topic, attrs),
            )

    def post_publish_failure(self, topic: str, exception: BaseException, message: Any) -> None:
        log_publishing(
            self._logger,
            logging.ERROR,
            "Publishing to %s failed: %s",
            topic,
            in_one_line(exception),
            exc_info=exception,
            extra={
                **self._publication(topic, failed_attributes()),
                "subscription_message": self._published_text(message),
            },
        )
        if (origin := origin_of(exception)) is not None:
            log_publishing(
                self._logger,
                logging.DEBUG,
                "Where that came from:",
                exc_info=origin,
            )

    @no_io
    @needed_if(lambda middleware: middleware._logger.isEnabledFor(logging.DEBUG))
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug(
                "Received a message for %s",
                subscription,
                extra={"metrics": self._processing("received", subscription, message)},
            )

    @no_io
    @needed_if(lambda middleware: middleware._logger.isEnabledFor(logging.INFO))
    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Message
    ) -> None:
        if self._logger.isEnabledFor(logging.INFO):
            # As Logger.info(), which asks the level again, and searches the stack for its caller.
            record = self._logger.makeRecord(
                self._logger.name,
                logging.INFO,
                *_SUCCESS_IS_LOGGED_AT,
                "Processed a message for %s",
                (subscription,),
                None,
                _SUCCESS_IS_LOGGED_BY,
                {"metrics": self._processing("succeeded", subscription, message, start_time)},
            )
            self._logger.handle(record)

    @no_io
    def post_process_message_failure(
        self,
        subscription: Subscription,
        exception: BaseException,
        start_time: float,
        message: Message,
    ) -> None:
        is_decided = isinstance(exception, Decision)  # by the handler: it is not an error
        if not self._logger.isEnabledFor(logging.WARNING if is_decided else logging.ERROR):
            return
        extra = {
            "metrics": self._processing("failed", subscription, message, start_time),
            "subscription_message": self._subscription_message(message),
        }
        if is_decided:
            self._logger.warning("A message for %s: %r", subscription, exception, extra=extra)
        else:
            self._logger.error(
                "Processing a message for %s failed: %s",
                subscription,
                type(exception).__name__,
                exc_info=exception,
                extra=extra,
            )

    def pre_worker_stop(self, subscriptions: list[Subscription]) -> None:
        self._logger.info("Cleaning up %d subscription(s)", len(subscriptions))

    def _subscription_message(self, message: Message) -> str:
        return self._text_of(message) if self._logs_payloads else describe_without_payload(message)

    def _text_of(self, message: Message) -> str:
        if self._view.is_of_project:  # its function knows attributes, but no text about a message
            attributes = dict(self._view.attributes(message.attributes))
            return f"<Message {message.message_id}: {len(message.data)} bytes, {attributes}>"
        return str(hide_secrets(str(message)))

    def _published_text(self, data: Any) -> str:
        """What was to be published: as JSON, or its repr if it cannot be encoded."""
        try:
            payload = encode(data, getattr(self._config, "encoder", json.JSONEncoder))
        except Exception:  # noqa: BLE001 - the data's own code runs here
            if not self._logs_payloads:
                return _described(data)
            return str(self._view.data(_repr_of(data)))
        return self._view.whole_payload(payload) if self._logs_payloads else fingerprint(payload)

    def _publication(self, topic: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "pubsub_publisher_attrs": self._view.attributes(dict(attrs)),
            "metrics": {"name": "publications", "data": {"agent": self._agent, "topic": topic}},
        }

    def _processing(
        self,
        status: str,
        subscription: Subscription,
        message: Message,
        start_time: float | None = None,
    ) -> dict[str, Any]:
        data: dict[str, Any] = {
            "agent": self._agent,
            "topic": subscription.topic,
            "status": status,
            "subscription": subscription.name,
            "attributes": self._view.attributes(dict(message.attributes)),
        }
        if start_time is not None:
            data["duration_seconds"] = round(time.time() - start_time, 3)
        return {"name": "subscriptions", "data": data}


_code = LoggingMiddleware.post_process_message_success.__code__
_SUCCESS_IS_LOGGED_AT = _code.co_filename, _code.co_firstlineno
_SUCCESS_IS_LOGGED_BY = _code.co_name


def _repr_of(data: Any) -> str:
    try:
        return repr(data)
    except Exception:  # noqa: BLE001 - the data's own code runs here
        return object.__repr__(data)


def _described(data: Any) -> str:
    """What cannot be encoded as JSON, described without its content."""
    return fingerprint(data) if isinstance(data, bytes) else type(data).__name__
