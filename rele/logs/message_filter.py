"""Which message a log record is about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from rele.handling.current import current_handling
from rele.runtime.in_use import IN_USE

FIELDS = ("message_id", "subscription", "attempt", "event_id", "trace_id")
"""The attributes of a record that :class:`MessageFilter` sets."""

_EVENT_ID = "event_id"

_TRACE_PARENTS = ("googclient_traceparent", "traceparent")
"""The attributes in which Google's clients, and others, send the trace ("Trace Context", W3C)."""


class MessageFilter(logging.Filter):
    """Sets on each record which message it is about, and lets it pass.

    The fields are ``message_id``, ``subscription``, ``attempt`` (where Pub/Sub counts them),
    ``event_id`` and ``trace_id``. They are those of the message whose handler, filter or hook logs;
    while a batch is handled, only the subscription. A record about a message that is published
    has that message's event id and trace id. What a record has already is left as it is.

    Args:
        name: of the logger whose records get the fields; by default all do.
        absent: the value of a field that is not known.
    """

    def __init__(self, name: str = "", absent: str | None = "-") -> None:
        super().__init__(name)
        self._absent = absent

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the fields of ``record``."""
        if super().filter(record):
            known = fields_of(record)
            own = vars(record)
            for field in FIELDS:
                own.setdefault(field, known.get(field) or self._absent)
        return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What is known of the message that ``record`` is about."""
    known: dict[str, Any] = {}
    attributes: Mapping[str, str] = {}
    if handling := current_handling():
        known["subscription"] = handling.subscription.name
        if (message := handling.message) is not None:
            known["message_id"] = message.message_id
            known["attempt"] = message.delivery_attempt
            attributes = message.attributes
    trace_id = IN_USE.trace_id()
    published = getattr(record, "pubsub_publisher_attrs", None)
    if isinstance(published, Mapping):
        attributes = published
        trace_id = _trace_id_in(published) or trace_id
    known["event_id"] = attributes.get(_EVENT_ID)
    known["trace_id"] = trace_id or _trace_id_in(attributes)
    return {field: value for field, value in known.items() if value}


def _trace_id_in(attributes: Mapping[str, str]) -> str:
    """The id of the trace that the attributes say; empty if they say none."""
    for name in _TRACE_PARENTS:
        parts = str(attributes.get(name, "")).split("-")
        if len(parts) >= 4 and len(parts[1]) == 32:
            return parts[1]
    return ""
