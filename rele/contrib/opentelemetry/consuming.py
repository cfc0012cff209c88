"""Spans and metrics of received messages: ``receive SUBSCRIPTION``, ``process SUBSCRIPTION``."""

from __future__ import annotations

import time
from collections.abc import Sequence

from opentelemetry.context import Context, attach, get_current
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanKind,
    get_current_span,
    set_span_in_context,
)

from rele.contrib.opentelemetry.creation_context import read_from, unsampled_in
from rele.contrib.opentelemetry.deliveries import described, described_together
from rele.contrib.opentelemetry.names import ERROR_TYPE
from rele.contrib.opentelemetry.processing import Processing, note_current
from rele.contrib.opentelemetry.settling import Settling
from rele.contrib.opentelemetry.telemetry import Attributes, Telemetry, client_id
from rele.engine.base import Message
from rele.status.observers import ObservedDelivery


class Consuming:
    """Records what is consumed.

    Args:
        telemetry: what it is recorded with.
        settling: records what becomes of it.
        shows_payloads: whether what is recorded may have bytes of a payload.
    """

    def __init__(self, telemetry: Telemetry, settling: Settling, *, shows_payloads: bool) -> None:
        self._telemetry = telemetry
        self._settling = settling
        self._shows_payloads = shows_payloads

    def begin(self, name: str, message: Message, handling: object) -> None:
        """Begin the span of the handler of one message.

        It is a child of the context in which the message was created, unless there is a current
        span already.

        Args:
            name: the subscription's id.
            message: what the handler is about to be called with.
            handling: what the call belongs to.
        """
        context = get_current()
        begins_trace = not get_current_span(context).get_span_context().is_valid
        if begins_trace and self._telemetry.drops_below_remote:
            unsampled = unsampled_in(message.attributes)
            if unsampled is not None:
                self._begin_unrecorded(name, message, unsampled, context, handling)
                return
        created = read_from(message.attributes)
        if created is None:
            self._begin(name, [message], context, None, handling)
            return
        if begins_trace:
            context = set_span_in_context(NonRecordingSpan(created), context)
        self._begin(name, [message], context, [Link(created)], handling)

    def begin_batch(self, name: str, messages: Sequence[Message], handling: object) -> None:
        """Begin the span of a handler of batches: it begins a trace, and is linked with many."""
        links = [
            Link(context, described(message))
            for message in messages
            if (context := read_from(message.attributes)) is not None
        ]
        self._begin(name, messages, get_current(), links, handling, is_batch=True)

    def end(self, processing: Processing) -> None:
        """The handler has ended, and the hooks after it have run."""
        note_current(None)
        seconds = processing.end(shows_payloads=self._shows_payloads)
        attributes = self._telemetry.of_subscription("process", processing.name, has_type=False)
        if processing.error_type is not None:
            attributes = {**attributes, ERROR_TYPE: processing.error_type}
        self._telemetry.process_duration.record(seconds, attributes)

    def note_received(self, name: str, messages: Sequence[ObservedDelivery]) -> None:
        """Count ``messages``, which were delivered."""
        attributes = self._telemetry.of_subscription("receive", name, has_type=False)
        self._telemetry.consumed_messages.add(len(messages), attributes)

    def _begin(
        self,
        name: str,
        messages: Sequence[Message],
        context: Context,
        links: Sequence[Link] | None,
        handling: object,
        *,
        is_batch: bool = False,
    ) -> None:
        """Begin a span, which is the current one for as long as the context of ``messages`` lasts.

        That context is their own.
        """
        telemetry = self._telemetry
        begun = time.time_ns()
        attributes = telemetry.of_subscription("process", name)
        span = telemetry.tracer.start_span(
            f"process {name}", context, SpanKind.CONSUMER, attributes, links, begun
        )
        if span.is_recording():
            details = described_together(messages) if is_batch else described(messages[0])
            span.set_attributes({**details, **client_id()})
            self._settling.remember(messages, span.get_span_context())
            self._add_receipt(name, context, links, details, _first_receipt(messages, begun), begun)
        self._measure_receipt(name, messages, begun)
        note_current(Processing(span, begun, name, handling, is_batch=is_batch))
        attach(set_span_in_context(span, context))

    def _begin_unrecorded(
        self, name: str, message: Message, parent: Span, context: Context, handling: object
    ) -> None:
        """As :meth:`_begin`, where no span is recorded: the current one is that of the parent."""
        if self._telemetry.measures:
            begun = time.time_ns()
            self._measure_receipt(name, [message], begun)
            note_current(Processing(parent, begun, name, handling))
        attach(set_span_in_context(parent, context))

    def _measure_receipt(self, name: str, messages: Sequence[Message], begun: int) -> None:
        telemetry = self._telemetry
        received = _first_receipt(messages, begun) if telemetry.measures else None
        if received is not None:
            telemetry.operation_duration.record(
                (begun - received) / 1e9, telemetry.of_subscription("receive", name)
            )

    def _add_receipt(
        self,
        name: str,
        context: Context,
        links: Sequence[Link] | None,
        details: Attributes,
        received: int | None,
        begun: int,
    ) -> None:
        """Add the span of the time until the handler began, if it is known.

        Only now, since the conventions want no such span for what waits in a client.
        """
        if received is None:
            return
        own = self._telemetry.of_subscription("receive", name)
        span = self._telemetry.tracer.start_span(
            f"receive {name}",
            context,
            SpanKind.CLIENT,
            {**own, **details, **client_id()},
            links,
            received,
        )
        span.end(begun)


def _first_receipt(messages: Sequence[Message], begun: int) -> int | None:
    """When the first of ``messages`` was received, in nanoseconds; ``None`` if it is not known."""
    known = [at for message in messages if (at := message.received_at) is not None]
    return min(int(min(known) * 1e9), begun) if known else None
