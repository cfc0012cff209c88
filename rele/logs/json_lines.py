"""Log records as lines of JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from rele.exceptions import ConfigurationError
from rele.handling.current import current_handling
from rele.logs.message_filter import FIELDS, fields_of
from rele.logs.repeats import is_repeat, noted
from rele.messages.payload_view import PayloadView
from rele.runtime.in_use import IN_USE
from rele.runtime.worker_process import this_worker_process

_BY_DEFAULT = PayloadView()


class JsonFormatter(logging.Formatter):
    """Formats each record as a line of JSON, with the keys that Google Cloud's logging reads.

    ``time``, ``severity`` and ``message`` are followed by ``logger``, what is known of the message
    that the record is about (see :class:`MessageFilter`, which is not needed for it), ``process``
    in one of several worker processes, and ``exception``, a traceback. The records of
    LoggingMiddleware also have ``status``, ``topic``, ``duration_seconds`` and ``attributes``, and
    where a message has failed, ``payload``.
    """

    def __init__(self) -> None:
        super().__init__()
        self._process: int | None = None
        with suppress(ConfigurationError):  # the command that runs the worker raises it
            if process := this_worker_process():
                self._process = process.number

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "severity": record.levelname,
            "message": noted(record, record.getMessage()),
            "logger": record.name,
            "process": self._process,
            **fields_of(record),
        }
        for field in FIELDS:  # which a filter has set, where the message was known
            if content.get(field) is None and (value := getattr(record, field, None)) != "-":
                content[field] = value
        content |= _of_metrics(record)
        if not is_repeat(record):
            content["exception"] = self._exception_of(record)
        if record.stack_info:
            content["stack"] = self.formatStack(record.stack_info)
        known = {name: value for name, value in content.items() if value is not None}
        return json.dumps(known, ensure_ascii=False, default=str)

    def _exception_of(self, record: logging.LogRecord) -> str | None:
        return self.formatException(record.exc_info) if record.exc_info else record.exc_text


def _of_metrics(record: logging.LogRecord) -> dict[str, Any]:
    """What a record of LoggingMiddleware has in addition."""
    metrics = getattr(record, "metrics", None)
    if not isinstance(metrics, Mapping) or not isinstance(data := metrics.get("data"), Mapping):
        return {}
    names = ("status", "topic", "subscription", "duration_seconds")
    content = {name: data[name] for name in names if name in data}
    attributes = data.get("attributes") or getattr(record, "pubsub_publisher_attrs", None)
    if attributes:
        content["attributes"] = attributes
    if record.levelno >= logging.WARNING:
        content["payload"] = _payload_of(record)
    return content


def _payload_of(record: logging.LogRecord) -> str | None:
    """The payload of a message that has failed, as far as it may be shown."""
    view: PayloadView = getattr(IN_USE.configuration, "payload_view", _BY_DEFAULT)
    handling = current_handling()
    if record.metrics["name"] == "subscriptions":  # type: ignore[attr-defined]
        message = None if handling is None else handling.message
        return None if message is None else view.payload(message.data)
    published = getattr(record, "subscription_message", None)
    return None if published is None else view.cut(str(published))
