"""A process that takes a photo into the gallery, and does all that follows.

It prints its spans as JSON. The environment says where Pub/Sub and the database are.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

EXPECTED = {"process gallery-photo-processed-activity", "ack gallery-photo-processed-activity"}
"""What ends last."""

SECONDS = 30.0


def traced(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware of Django that gives each request a span, as instrumentations of Django do."""
    tracer = trace.get_tracer("django")

    def respond(request: HttpRequest) -> HttpResponse:
        with tracer.start_as_current_span(
            f"{request.method} {request.path}", kind=trace.SpanKind.SERVER
        ):
            return get_response(request)

    return respond


def main() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.support.traced_settings"
    django.setup()
    call_command("migrate", verbosity=0)
    upload()
    done = threading.Event()
    threading.Thread(target=stop_at_end, args=[exporter, done], daemon=True).start()
    try:
        call_command("runrele", "--relay", stdout=io.StringIO())
    except SystemExit:
        pass
    finally:
        done.set()
        json.dump([as_data(span) for span in exporter.get_finished_spans()], sys.stdout)


def upload() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 48)).save(picture, "PNG")
    photo = SimpleUploadedFile("walk.png", picture.getvalue(), "image/png")
    response = Client(SERVER_NAME="localhost").post("/", {"photo": photo})
    assert response.status_code == 302, response.content


def stop_at_end(exporter: InMemorySpanExporter, done: threading.Event) -> None:
    """Stop the worker once the last spans have ended, or after a while."""
    for _ in range(int(SECONDS / 0.05)):
        if done.wait(0.05) or {span.name for span in exporter.get_finished_spans()} >= EXPECTED:
            break
    os.kill(os.getpid(), signal.SIGTERM)


def as_data(span: ReadableSpan) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.get_span_context().trace_id:x}",
        "id": span.get_span_context().span_id,
        "parent": None if span.parent is None else span.parent.span_id,
        "links": [link.context.span_id for link in span.links],
    }


if __name__ == "__main__":
    main()
