"""What the OpenTelemetry middleware costs a message: ``python -m benchmarks.tracing``.

A message is published and handled. Measured are the hooks of both, and its share of the requests
about it, in CPU time, but not the engines, the handler and Pub/Sub. What OpenTelemetry's SDK itself
takes for the least that is asked of it is measured beside that.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from google.pubsub_v1.types import PubsubMessage
from opentelemetry import metrics, trace
from opentelemetry.context import get_current
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from rele.config import Config
from rele.contrib.opentelemetry.telemetry import Telemetry
from rele.declaration.subscription import Subscription
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.lease_calls import Call
from rele.engine.native.consuming.native_message import NativeMessage
from rele.engine.native.consuming.observing import note_settlement
from rele.engine.native.publishing import wire
from rele.engine.native.publishing.observing import note_answer
from rele.handling.handle import process
from rele.handling.settlement import SettlementPolicy
from rele.middleware import register_middleware, run_middleware_hook
from rele.status.observers import OBSERVERS

ROUNDS = 25
DATA = b'{"id": 42}'
MESSAGES = 2_000
IN_A_REQUEST = 100

MIDDLEWARE = "rele.contrib.OpenTelemetryMiddleware"


@dataclass
class Times:
    """Seconds of CPU of the rounds, for all messages of a round."""

    publishing: list[float] = field(default_factory=list)
    handling: list[float] = field(default_factory=list)


class _Exporter(SpanExporter):
    """Keeps nothing."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class _Settler:
    """Sends nothing."""

    def note(self, *settled: object) -> None: ...
    def settle(self, *settled: object) -> Any: ...
    def ack_together(self, *settled: object) -> None: ...


def main() -> None:
    configurations: dict[str, Callable[[], Any]] = {
        "without the middleware": lambda: _installed([], None, None),
        "no provider is set": lambda: _installed([MIDDLEWARE], None, None),
        "sampled at 1 %, in a request": lambda: _installed([MIDDLEWARE], 0.01, None, True),
        "sampled at 1 %": lambda: _installed([MIDDLEWARE], 0.01, None),
        "sampled at 1 %, with metrics": lambda: _installed([MIDDLEWARE], 0.01, MeterProvider),
        "sampled at 100 %": lambda: _installed([MIDDLEWARE], 1.0, None),
    }
    times = {name: Times() for name in configurations}
    for _ in range(ROUNDS):
        for name, install in configurations.items():
            with install() as publishing_in:
                gc.collect()  # what the round before has left
                _measure(times[name], publishing_in)
    base = times.pop("without the middleware")
    print(f"µs a message, above what it takes without the middleware; the best of {ROUNDS} rounds")
    for name, each in times.items():
        publishing = _more(each.publishing, base.publishing)
        handling = _more(each.handling, base.handling)
        print(
            f"{name:30} published {publishing:6.2f}   handled {handling:6.2f}   "
            f"both {publishing + handling:6.2f}"
        )
    print("of this in the SDK itself:")
    for name, seconds in _of_the_sdk():
        print(f"{name:60} {seconds / MESSAGES * 1e6:6.2f}")


def _of_the_sdk() -> Iterator[tuple[str, float]]:
    """The calls of it that a message needs at least, and the CPU time of ``MESSAGES`` of them."""
    tracers = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.0)), shutdown_on_exit=False)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    telemetry = Telemetry(tracers, meters, ("pubsub.googleapis.com", 443))
    topic = telemetry.of_topic("create", "orders")
    received = telemetry.of_subscription("receive", "orders")
    processed = telemetry.of_subscription("process", "orders", has_type=False)
    start_span, context = telemetry.tracer.start_span, get_current()
    calls: dict[str, Callable[[], object]] = {
        "published: a span that begins a trace and is not sampled": lambda: start_span(
            "create orders", context, trace.SpanKind.PRODUCER, topic
        ),
        "handled, with metrics: two durations": lambda: (
            telemetry.operation_duration.record(0.01, received),
            telemetry.process_duration.record(0.01, processed),
        ),
    }
    for name, call in calls.items():
        yield name, min(_seconds_of(call) for _ in range(ROUNDS))


def _seconds_of(call: Callable[[], object]) -> float:
    started = time.thread_time()
    for _ in range(MESSAGES):
        call()
    return time.thread_time() - started


def _more(times: Sequence[float], base: Sequence[float]) -> float:
    """In microseconds a message; of the quickest rounds, which other processes disturb least."""
    return (min(times) - min(base)) / MESSAGES * 1e6


@contextmanager
def _installed(
    middleware: list[str],
    ratio: float | None,
    meters: Callable[..., Any] | None,
    in_request: bool = False,
) -> Iterator[Callable[[], Any]]:
    """Within the block the process has these providers, and Relé this middleware.

    The block is given what a message is published in: a span, which is sampled or not, or nothing.
    """
    tracer_provider: Any = trace.ProxyTracerProvider()
    if ratio is not None:
        tracer_provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False
        )
        tracer_provider.add_span_processor(BatchSpanProcessor(_Exporter()))
    meter_provider: Any = metrics.NoOpMeterProvider()
    if meters is not None:
        meter_provider = meters([InMemoryMetricReader()], shutdown_on_exit=False)
    OBSERVERS._observers = ()  # of the configuration before
    with (
        patch.object(trace, "get_tracer_provider", lambda: tracer_provider),
        patch.object(metrics, "get_meter_provider", lambda: meter_provider),
    ):
        register_middleware(Config({"GC_PROJECT_ID": "shop", "MIDDLEWARE": middleware}))
        tracer = tracer_provider.get_tracer("requests")
        yield partial(tracer.start_as_current_span, "request") if in_request else nullcontext
        register_middleware(Config({"GC_PROJECT_ID": "shop", "MIDDLEWARE": []}))
    if ratio is not None:
        tracer_provider.shutdown()


def _measure(times: Times, publishing_in: Callable[[], Any]) -> None:
    published = [{"published_at": "1764167000.123", "lang": "es"} for _ in range(MESSAGES)]
    times.publishing.append(_publish(published, publishing_in))
    deliveries = [_delivery(number, each) for number, each in enumerate(published)]
    times.handling.append(_consume(deliveries))


def _publish(published: list[dict[str, str]], publishing_in: Callable[[], Any]) -> float:
    """The seconds of the hook, and of what observers learn of the requests."""
    seconds = 0.0
    for attributes in published:
        with publishing_in():
            started = time.thread_time()
            run_middleware_hook("pre_publish", "orders", {}, attributes)
            seconds += time.thread_time() - started
    fields = [
        SimpleNamespace(field=wire.message_field(DATA, attributes, "")) for attributes in published
    ]
    requests: list[Any] = [SimpleNamespace(messages=each, sent_at=0.0) for each in _parts(fields)]
    ids = ["17"] * IN_A_REQUEST
    started = time.thread_time()
    for request in requests:
        if OBSERVERS:
            note_answer("projects/shop/topics/orders", request, ids)
    return seconds + time.thread_time() - started


def _consume(deliveries: list[Delivery]) -> float:
    """The seconds of the handlings, and of what observers learn of responses and requests."""
    messages = [NativeMessage(delivery, _Settler()) for delivery in deliveries]
    subscription = Subscription(_handle, "orders")
    policy = SettlementPolicy(subscription)
    path = "projects/shop/subscriptions/orders"
    calls = [Call("ack", part, 0.0) for part in _parts(deliveries)]
    started = time.thread_time()
    for call in calls:
        if OBSERVERS:
            OBSERVERS.note_received(path, call.deliveries, 1.0)
    for message in messages:
        process(message, subscription, policy)
    for call in calls:
        if OBSERVERS:
            note_settlement(path, call, 0.01, None, {})
    return time.thread_time() - started


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), IN_A_REQUEST):
        yield items[start : start + IN_A_REQUEST]


def _delivery(number: int, attributes: dict[str, str]) -> Delivery:
    content = PubsubMessage(data=DATA, attributes=attributes, message_id="17")
    delivery = Delivery(f"ack-{number}", "17", received=content._pb)
    delivery.received_at = time.monotonic()
    return delivery


def _handle(data: Any, **attributes: Any) -> None: ...


if __name__ == "__main__":
    main()
