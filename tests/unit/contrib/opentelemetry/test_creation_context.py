from __future__ import annotations

import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rele.contrib.opentelemetry.creation_context import (
    is_in,
    read_from,
    read_sampled,
    unsampled_in,
    write_into,
)

TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
TEXT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def a_context(**changes: object) -> SpanContext:
    fields: dict[str, object] = {
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "is_remote": False,
        "trace_flags": TraceFlags(TraceFlags.SAMPLED),
        **changes,
    }
    return SpanContext(**fields)  # type: ignore[arg-type]


def test_it_is_written_as_googles_clients_write_it() -> None:
    attributes = {"lang": "es"}

    write_into(attributes, a_context(trace_state=TraceState([("vendor", "1")])))

    assert attributes == {
        "lang": "es",
        "googclient_traceparent": TEXT,
        "googclient_tracestate": "vendor=1",
    }


@pytest.mark.parametrize("prefix", ["googclient_", ""])
def test_it_is_read_by_the_name_of_google_and_by_the_plain_one(prefix: str) -> None:
    attributes = {f"{prefix}traceparent": TEXT, f"{prefix}tracestate": "vendor=1"}

    context = read_from(attributes)

    assert context is not None
    assert is_in(attributes)
    assert (context.trace_id, context.span_id) == (TRACE_ID, SPAN_ID)
    assert context.is_remote
    assert context.trace_flags.sampled
    assert context.trace_state.to_header() == "vendor=1"


def test_the_name_of_google_counts_where_both_are_there() -> None:
    other = TEXT.replace("4bf92f35", "00000000")

    context = read_from({"googclient_traceparent": TEXT, "traceparent": other})

    assert context is not None
    assert context.trace_id == TRACE_ID


FORMS = [
    TEXT,
    TEXT[:-2] + "00",
    TEXT[:-2] + "0a",
    TEXT[:-2] + "0g",
    TEXT[:-4] + "g-00",
    "00-" + "0" * 32 + TEXT[35:-2] + "00",
    TEXT[:36] + "0" * 16 + "-00",
    f" {TEXT}\t",
    f"{TEXT}-more",
    "01" + TEXT[2:],
    f"01{TEXT[2:]}-more",
    "ff" + TEXT[2:],
    TEXT.upper(),
    TEXT[:-1],
    "00-" + "0" * 32 + TEXT[35:],
    TEXT[:36] + "0" * 16 + "-01",
    "",
    "é",
]


@pytest.mark.parametrize("text", FORMS)
def test_it_reads_what_opentelemetry_reads(text: str) -> None:
    """Its own propagator takes longer, so that it is not used for each message."""
    expected = TraceContextTextMapPropagator().extract({"traceparent": text})
    spans = [value.get_span_context() for value in expected.values()]  # type: ignore[attr-defined]

    found = read_from({"googclient_traceparent": text})

    assert ([] if found is None else [found]) == spans
    sampled = read_sampled({"googclient_traceparent": text})
    assert sampled == (found if found is not None and found.trace_flags.sampled else None)
    unsampled = unsampled_in({"googclient_traceparent": text})
    assert unsampled is None or unsampled.get_span_context() == found
    assert unsampled is None or not unsampled.get_span_context().trace_flags.sampled


@pytest.mark.parametrize("flags", ["00", "02", "fe"])
@pytest.mark.parametrize("prefix", ["googclient_", ""])
def test_a_span_that_is_not_sampled_has_the_context_of_the_attributes(
    prefix: str, flags: str
) -> None:
    attributes = {
        f"{prefix}traceparent": TEXT[:-2] + flags,
        f"{prefix}tracestate": "vendor=1",
        "traceparent": TEXT[:-2] + flags,
    }

    span = unsampled_in(attributes)

    assert span is not None
    assert not span.is_recording()
    assert span.get_span_context() == read_from(attributes)
    assert "vendor" in repr(span)


def test_no_message_is_refused_for_lack_of_room() -> None:
    for number in (97, 98):
        attributes = {f"a{n}": "1" for n in range(number)}

        write_into(attributes, a_context())

        assert is_in(attributes) == (number == 97), "an outbox adds the event id"


def test_nothing_is_written_outside_of_a_trace() -> None:
    attributes: dict[str, str] = {}

    write_into(attributes, INVALID_SPAN_CONTEXT)

    assert attributes == {}
