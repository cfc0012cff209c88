"""Spans and metrics of published messages: ``create TOPIC`` and ``send TOPIC``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    get_current_span,
    set_span_in_context,
)

from rele.contrib.opentelemetry import creation_context
from rele.contrib.opentelemetry.failures import fail_request, status_of
from rele.contrib.opentelemetry.names import BATCH_SIZE, ERROR_TYPE, MESSAGE_ID, ORDERING_KEY
from rele.contrib.opentelemetry.telemetry import Telemetry, client_id
from rele.sending.publication import ordering_key_of_hook
from rele.status.observers import ObservedMessage, PublishRequest


class Producing:
    """Records what is published.

    Args:
        telemetry: what it is recorded with.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def create(self, topic: str, attributes: dict[str, Any], *, with_span: bool) -> None:
        """Record that a message is created, and add its context to its attributes.

        A context that the attributes have already stays there, and no span is made: it is that of
        the message's creator.

        Args:
            topic: the topic's id.
            attributes: of the message.
            with_span: whether the message has a span of its own; otherwise its context is that of
                the current span.
        """
        if creation_context.is_in(attributes):
            return
        telemetry = self._telemetry
        context = get_current()  # given to OpenTelemetry, which else asks for it at each step
        current = get_current_span(context).get_span_context()
        if not with_span or telemetry.drops_below(current):
            creation_context.write_into(attributes, current)
            return
        span = telemetry.tracer.start_span(
            f"create {topic}", context, SpanKind.PRODUCER, telemetry.of_topic("create", topic)
        )
        creation_context.write_into(attributes, span.get_span_context())
        if span.is_recording():
            if key := ordering_key_of_hook():
                span.set_attribute(ORDERING_KEY, key)
            # At once: what becomes of the message may be known to another process alone.
            span.end()

    def note_request(self, topic: str, request: PublishRequest) -> None:
        """Record a request. It has a span if one of its messages has one.

        Args:
            topic: the topic's id.
            request: which has ended.
        """
        messages, error = request.messages, request.error
        telemetry = self._telemetry
        failure = {} if error is None else {ERROR_TYPE: status_of(error)}
        telemetry.sent_messages.add(
            len(messages), {**telemetry.of_topic("send", topic, has_type=False), **failure}
        )
        telemetry.operation_duration.record(
            request.seconds, {**telemetry.of_topic("send", topic), **failure}
        )
        created = [
            (message, context)
            for message in messages
            if (context := creation_context.read_sampled(message.attributes)) is not None
        ]
        if created:
            self._add_span(topic, request, created)

    def _add_span(
        self,
        topic: str,
        request: PublishRequest,
        created: Sequence[tuple[ObservedMessage, SpanContext]],
    ) -> None:
        attributes = {**self._telemetry.of_topic("send", topic), **client_id()}
        first, parent = created[0]
        if first.ordering_key:  # that of all messages of the request
            attributes[ORDERING_KEY] = first.ordering_key
        if len(request.messages) > 1:
            attributes[BATCH_SIZE] = len(request.messages)
        elif first.message_id:
            attributes[MESSAGE_ID] = first.message_id
        span = self._telemetry.tracer.start_span(
            f"send {topic}",
            set_span_in_context(NonRecordingSpan(parent)),
            SpanKind.CLIENT,
            attributes,
            [Link(context, _id_of(message)) for message, context in created],
            int(request.started * 1e9),
        )
        if request.error is not None:
            fail_request(span, request.error)
        span.end(int((request.started + request.seconds) * 1e9))


def _id_of(message: ObservedMessage) -> dict[str, str]:
    return {MESSAGE_ID: message.message_id} if message.message_id else {}
