"""The context in which a message was created, as it travels in the message's attributes.

The form is that of the W3C recommendation "Trace Context". Google's clients write and read it under
names with the prefix ``googclient_``, and so does this module. Other publishers may write it under
the plain names, which are read, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping

from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    TraceState,
)

from rele.messages.limits import MAX_ATTRIBUTES, MAX_VALUE_BYTES

TRACEPARENT, TRACESTATE = "googclient_traceparent", "googclient_tracestate"
PLAIN_TRACEPARENT, PLAIN_TRACESTATE = "traceparent", "tracestate"

_TRACEPARENT = re.compile(
    "[ \t]*(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:(-.*)|[ \t]*)"
)
_UNSAMPLED = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][02468ace]")
"""The usual form of a context that is not sampled."""

_TEXTS = [f"{flags:02x}" for flags in range(256)]
_FLAGS = {text: TraceFlags(flags) for flags, text in enumerate(_TEXTS)}
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
    text, state = _texts_in(attributes)
    return None if text is None else _parsed(text, state)


def unsampled_in(attributes: Mapping[str, str]) -> Span | None:
    """The span that has the context in the attributes, which is not sampled.

    Returns:
        ``None`` if it may be sampled, or has an unusual form: :func:`read_from` knows.
    """
    text, state = _texts_in(attributes)
    if text is None or _UNSAMPLED.fullmatch(text) is None:
        return None
    return _Unsampled(text, state)


class _Unsampled(NonRecordingSpan):
    """A span whose context is parsed when it is asked for: few handlers do, and it takes long."""

    _parsed: SpanContext | None = None

    def __init__(self, text: str, state: str | None) -> None:
        self._text = text
        self._state = state

    def get_span_context(self) -> SpanContext:
        if self._parsed is None:
            self._parsed = _parsed(self._text, self._state) or INVALID_SPAN_CONTEXT
        return self._parsed

    def __repr__(self) -> str:
        return f"NonRecordingSpan({self.get_span_context()!r})"


def _texts_in(attributes: Mapping[str, str]) -> tuple[str | None, str | None]:
    text = attributes.get(TRACEPARENT)
    if text is not None:
        return text, attributes.get(TRACESTATE)
    return attributes.get(PLAIN_TRACEPARENT), attributes.get(PLAIN_TRACESTATE)


def _parsed(text: str, state: str | None) -> SpanContext | None:
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
    trace_id, span_id, _, flags, states, is_valid = context
    if not is_valid or len(attributes) > MAX_ATTRIBUTES - _ROOM:
        return
    # In half the time of formatting them as numbers.
    trace, span = trace_id.to_bytes(16, "big").hex(), span_id.to_bytes(8, "big").hex()
    attributes[TRACEPARENT] = f"00-{trace}-{span}-{_TEXTS[flags]}"
    if states:
        state = states.to_header()
        if len(state) <= MAX_VALUE_BYTES:
            attributes[TRACESTATE] = state
