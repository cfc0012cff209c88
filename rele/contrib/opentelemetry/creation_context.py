"""The context in which a message was created, as it travels in the message's attributes.

The form is that of the W3C recommendation "Trace Context". Google's clients write and read it under
names with the prefix ``googclient_``, and so does this module. Other publishers may write it under
the plain names, which are read, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from rele.messages.limits import MAX_ATTRIBUTES, MAX_VALUE_BYTES

TRACEPARENT, TRACESTATE = "googclient_traceparent", "googclient_tracestate"
PLAIN_TRACEPARENT, PLAIN_TRACESTATE = "traceparent", "tracestate"

_TRACEPARENT = re.compile(
    "[ \t]*(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:(-.*)|[ \t]*)"
)
_FLAGS = {f"{flags:02x}": TraceFlags(flags) for flags in range(256)}
_FLAGS_END = 55
_SAMPLED = frozenset("13579bdf")
"""The last digits of flags by which the span is recorded."""

_ROOM = 3
"""Two attributes of the context, and the event id that an outbox adds."""


def is_in(attributes: Mapping[str, str]) -> bool:
    """Whether the attributes have a context already."""
    return TRACEPARENT in attributes or PLAIN_TRACEPARENT in attributes


def read_sampled(attributes: Mapping[str, str]) -> SpanContext | None:
    """As :func:`read_from`, in less time for most messages: only if the span is recorded."""
    text = attributes.get(TRACEPARENT) or attributes.get(PLAIN_TRACEPARENT)
    if not text or text.strip()[_FLAGS_END - 1 : _FLAGS_END] not in _SAMPLED:
        return None
    return read_from(attributes)


def read_from(attributes: Mapping[str, str]) -> SpanContext | None:
    """The context in the attributes; ``None`` if there is none, or something that is not one."""
    text, state = attributes.get(TRACEPARENT), attributes.get(TRACESTATE)
    if text is None:
        text, state = attributes.get(PLAIN_TRACEPARENT), attributes.get(PLAIN_TRACESTATE)
        if text is None:
            return None
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if rest and version == "00":
        return None
    states = TraceState.from_header([state]) if state else None
    context = SpanContext(int(trace_id, 16), int(span_id, 16), True, _FLAGS[flags], states)
    return context if context.is_valid else None


def write_into(attributes: MutableMapping[str, str], context: SpanContext) -> None:
    """Add ``context``, unless it is none, or the message would then have too many attributes."""
    if not context.is_valid or len(attributes) > MAX_ATTRIBUTES - _ROOM:
        return
    attributes[TRACEPARENT] = (
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    )
    if context.trace_state:
        state = context.trace_state.to_header()
        if len(state) <= MAX_VALUE_BYTES:
            attributes[TRACESTATE] = state
