"""OpenTelemetry's providers for a test, and what they have recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from tests.support.inbox import Inbox

MIDDLEWARE = "rele.contrib.OpenTelemetryMiddleware"


class _Exporter(InMemorySpanExporter):
    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        for span in spans:
            self.inbox.put(span.name)
        return result


class Recorded:
    """What the process records until the test ends.

    Args:
        monkeypatch: puts the providers in the place of the process's own.
        sampler: decides which spans are recorded; by default all.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None = None) -> None:
        self._exporter = _Exporter()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: self.tracers)
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: self.meters)
        self.tracer = self.tracers.get_tracer("test")

    @property
    def names(self) -> list[str]:
        """Of all spans that have ended, in the order of their ends."""
        return [span.name for span in self._exporter.get_finished_spans()]

    def spans(self, name: str, number: int = 1) -> list[ReadableSpan]:
        """The spans of that name, once there are so many."""
        self._exporter.inbox.wait_until(lambda names: names.count(name) >= number)
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def span(self, name: str) -> ReadableSpan:
        """The only span of that name, once it has ended."""
        [span] = self.spans(name)
        return span

    def points(self, metric: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
            for point in each.data.data_points
        ]


def parent_of(span: ReadableSpan) -> int | None:
    """The id of its parent; ``None`` if it begins a trace."""
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def trace_of(span: ReadableSpan) -> int:
    return span.get_span_context().trace_id


def links_of(span: ReadableSpan) -> list[int]:
    """The ids of the spans that it is linked with."""
    return [link.context.span_id for link in span.links]


@dataclass(frozen=True)
class Sent:
    """A message of a request to publish, as an engine shows it to observers."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    message_id: str = ""
    data: bytes = b"{}"


@dataclass(frozen=True)
class Received:
    """A delivery, as an engine shows it to observers."""

    ack_id: str
    message_id: str = ""
    ordering_key: str = ""
    delivery_attempt: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
