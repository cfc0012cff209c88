"""Spans and metrics of settlements: ``ack``, ``nack`` and ``modack SUBSCRIPTION``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, set_span_in_context

from rele.contrib.opentelemetry.deliveries import described
from rele.contrib.opentelemetry.failures import fail_request, status_of
from rele.contrib.opentelemetry.names import ACK_DEADLINE, BATCH_SIZE, ERROR_TYPE
from rele.contrib.opentelemetry.telemetry import Attributes, Telemetry, client_id
from rele.engine.base import Message
from rele.status.observers import ObservedDelivery, SettlementRequest

MOST = 10_000
"""How many deliveries are remembered. No request settles one whose lease is lost."""


class Settling:
    """Records the requests about deliveries. Safe in all threads.

    Args:
        telemetry: what they are recorded with.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._handled: dict[str, _Handled] = {}
        """The deliveries whose handlers have a span, by their ack ids."""
        self._lock = threading.Lock()

    def remember(self, messages: Sequence[Message], span: SpanContext) -> None:
        """Link the requests about ``messages`` with ``span``."""
        with self._lock:
            for message in messages:
                # All of it now: an engine may know of a request only the ack ids.
                self._handled[message.ack_id] = _Handled(span, described(message))
            while len(self._handled) > MOST:
                del self._handled[next(iter(self._handled))]

    def note_request(self, name: str, request: SettlementRequest) -> None:
        """Record a request. It has a span if the handler of one of its messages has one.

        Args:
            name: the subscription's id.
            request: which has ended.
        """
        kind, messages, error = request.kind, request.messages, request.error
        attributes = self._telemetry.of_subscription(kind, name)
        measured = attributes if error is None else {**attributes, ERROR_TYPE: status_of(error)}
        self._telemetry.operation_duration.record(request.seconds, measured)
        handled = self._handled_of(messages, is_over=kind != "modack" and error is None)
        if not handled:
            return
        is_single = len(messages) == 1
        details = dict(handled[0].details) if is_single else {BATCH_SIZE: len(messages)}
        if request.ack_deadline is not None:
            details[ACK_DEADLINE] = request.ack_deadline
        span = self._telemetry.tracer.start_span(
            f"{kind} {name}",
            set_span_in_context(NonRecordingSpan(handled[0].span)),
            SpanKind.CLIENT,
            {**attributes, **details, **client_id()},
            [Link(each.span, None if is_single else each.details) for each in handled],
            int(request.started * 1e9),
        )
        if error is not None:
            fail_request(span, error)
        span.end(int((request.started + request.seconds) * 1e9))

    def _handled_of(self, messages: Sequence[ObservedDelivery], *, is_over: bool) -> list[_Handled]:
        """Those of ``messages`` whose handlers have a span.

        Args:
            messages: of a request.
            is_over: whether nothing follows about them.
        """
        if not self._handled:
            return []
        find = self._handled.pop if is_over else self._handled.get
        with self._lock:
            found = [find(message.ack_id, None) for message in messages]
        return [each for each in found if each is not None]


class _Handled(NamedTuple):
    """A delivery whose handler has a span."""

    span: SpanContext
    details: Attributes
    """The attributes of the delivery."""
