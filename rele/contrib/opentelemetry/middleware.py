"""The hooks by which OpenTelemetry learns of messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import metrics, trace

from rele.contrib.opentelemetry.consuming import Consuming
from rele.contrib.opentelemetry.processing import Processing, current_processing
from rele.contrib.opentelemetry.producing import Producing
from rele.contrib.opentelemetry.settling import Settling
from rele.contrib.opentelemetry.telemetry import Telemetry, are_set
from rele.declaration.subscription import Subscription
from rele.endpoint import host_and_port, pubsub_address
from rele.engine.base import Message
from rele.exceptions import ConfigurationError
from rele.handling.current import BatchHandling, Handling, current_handling
from rele.middleware import BaseMiddleware, no_io
from rele.runtime.in_use import IN_USE
from rele.runtime.own_records import log_publishing
from rele.status.observers import (
    OBSERVERS,
    ObservedDelivery,
    Observer,
    PublishRequest,
    SettlementRequest,
)

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
"""How long to wait before it is looked again whether the process has a provider."""


class OpenTelemetryMiddleware(BaseMiddleware):
    """Spans and metrics of messages, by OpenTelemetry's conventions for messaging.

    They go to the process's providers (``opentelemetry.trace.set_tracer_provider``,
    ``opentelemetry.metrics.set_meter_provider``). Until one is set nothing is recorded. Name it
    first in ``RELE["MIDDLEWARE"]``, so that what the others do and log is part of the trace.

    The context in which a message is created travels in its attribute ``googclient_traceparent``,
    as that of Google's clients does.
    """

    creates_spans = True
    """Whether each message that is published has a span of its own. A subclass may say no: then the
    message has the context of the span in which it is published."""

    def __init__(self) -> None:
        self._client_options: Any = None
        self._shows_payloads = True
        self._recorder: Recorder | None = None
        self._looks_at = 0.0

    def setup(self, config: Any, **kwargs: Any) -> None:
        self._client_options = config.client_options
        self._shows_payloads = config.log_payloads
        IN_USE.trace_id = current_trace_id
        self._look()

    def pre_publish(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        recorder = self._recorder or self._look()
        if recorder is None:
            return
        try:
            recorder.producing.create(topic, attrs, with_span=self.creates_spans)
        except Exception:  # noqa: BLE001 - raised, it would refuse the message
            log_publishing(logger, logging.ERROR, "A message cannot be traced.", exc_info=True)

    def pre_worker_start(self) -> None:
        self._look()

    @no_io
    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        recorder = self._recorder or self._look()
        if recorder is None:
            return
        handling = current_handling()
        if not isinstance(handling, BatchHandling):
            recorder.consuming.begin(subscription.name, message, handling)
        elif (processing := current_processing()) is None or processing.handling is not handling:
            recorder.consuming.begin_batch(subscription.name, handling.messages, handling)

    @no_io
    def post_process_message_failure(
        self,
        subscription: Subscription,
        exception: BaseException,
        start_time: float,
        message: Message,
    ) -> None:
        if processing := current_processing():
            processing.fail(exception, message)

    @no_io
    def post_process_message(self) -> None:
        processing = current_processing()
        if processing is None or processing.is_batch:
            return
        if isinstance(handling := processing.handling, Handling) and handling.skipped:
            processing.skip(handling.skipped, handling.message)
        self._end(processing)

    @no_io
    def post_process_batch(
        self, subscription: Subscription, start_time: float, messages: Sequence[Message]
    ) -> None:
        processing = current_processing()
        if processing is None:
            return
        if isinstance(handling := processing.handling, BatchHandling):
            for message in messages:
                if reason := handling.why_skipped(message):
                    processing.skip(reason, message)
        self._end(processing)

    def _end(self, processing: Processing) -> None:
        if self._recorder is not None:
            self._recorder.consuming.end(processing)

    def _look(self) -> Recorder | None:
        """What records, once the process has a provider."""
        now = time.monotonic()
        if now < self._looks_at:
            return None
        self._looks_at = now + _LOOK_SECONDS
        if not are_set():
            return None
        telemetry = Telemetry(
            trace.get_tracer_provider(), metrics.get_meter_provider(), _server(self._client_options)
        )
        self._recorder = Recorder(
            telemetry, shows_payloads=self._shows_payloads, is_in_use=self._is_in_use
        )
        _SEAT.take(self._recorder)
        return self._recorder

    def _is_in_use(self) -> bool:
        return any(each is self for each in IN_USE.middleware or ())


class Recorder(Observer):
    """Records what is published and consumed, and what the engine sends about it.

    Args:
        telemetry: what it is recorded with.
        shows_payloads: whether what is recorded may have bytes of a payload.
        is_in_use: whether the middleware whose recorder this is counts now.
    """

    def __init__(
        self, telemetry: Telemetry, *, shows_payloads: bool, is_in_use: Callable[[], bool]
    ) -> None:
        self.producing = Producing(telemetry)
        self.settling = Settling(telemetry)
        self.consuming = Consuming(telemetry, self.settling, shows_payloads=shows_payloads)
        self._is_in_use = is_in_use

    def note_publish_request(self, request: PublishRequest) -> None:
        if self._is_in_use():
            self.producing.note_request(_id_of(request.topic_path), request)

    def note_received(
        self, subscription: str, messages: Sequence[ObservedDelivery], at: float
    ) -> None:
        if self._is_in_use():
            self.consuming.note_received(_id_of(subscription), messages)

    def note_settlement_request(self, request: SettlementRequest) -> None:
        if self._is_in_use():
            self.settling.note_request(_id_of(request.subscription), request)


class _Seat:
    """The place of one observer: who takes it replaces the former one.

    A process that is set up again has other middlewares.
    """

    def __init__(self) -> None:
        self._leave: Callable[[], None] = _nothing

    def take(self, observer: Observer) -> None:
        self._leave()
        self._leave = OBSERVERS.add(observer)


def _nothing() -> None:
    return None


_SEAT = _Seat()


def current_trace_id() -> str:
    """The id of the current trace, as hexadecimal digits; empty if there is none."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _server(client_options: Any) -> tuple[str, int] | None:
    try:
        return host_and_port(pubsub_address(client_options), "The address of Pub/Sub")
    except ConfigurationError:  # whoever connects says so
        return None


def _id_of(path: str) -> str:
    return path.rpartition("/")[2]
