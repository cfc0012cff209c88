"""A call of a handler that is being recorded, and how it ends."""

from __future__ import annotations

import time
from contextvars import ContextVar

from opentelemetry.trace import Span

from rele.contrib.opentelemetry.failures import decision_of, failure_of, record_failure
from rele.contrib.opentelemetry.names import DECISION, MESSAGE_ID, SKIPPED
from rele.engine.base import Message


class Processing:
    """A call of a handler.

    Args:
        span: its span.
        begun: when it has begun, in nanoseconds since the epoch.
        name: the subscription's id.
        handling: what the call belongs to.
        is_batch: whether it handles a batch.
    """

    __slots__ = ("_failed", "begun", "error_type", "handling", "is_batch", "name", "span")

    def __init__(
        self, span: Span, begun: int, name: str, handling: object, *, is_batch: bool = False
    ) -> None:
        self.span = span
        self.begun = begun
        self.name = name
        self.handling = handling
        self.is_batch = is_batch
        self.error_type: str | None = None
        """The type of an error by which it has failed."""
        self._failed: dict[int, tuple[BaseException, list[str]]] = {}
        """The errors, each with the ids of the messages that it has failed; by identity."""

    def fail(self, error: BaseException, message: Message) -> None:
        """Note why a message has failed, or what its handler has decided."""
        failure = failure_of(error)
        if failure is not None:
            self.error_type = failure
        if not self.span.is_recording():
            return
        if failure is not None:
            self._failed.setdefault(id(error), (error, []))[1].append(message.message_id)
        if decision := decision_of(error):
            if self.is_batch:
                self.span.add_event(DECISION, {**decision, MESSAGE_ID: message.message_id})
            else:
                self.span.set_attributes(decision)

    def skip(self, reason: str, message: Message) -> None:
        """Note that a message succeeds without its handler."""
        if not self.span.is_recording():
            return
        if self.is_batch:
            self.span.add_event(SKIPPED, {SKIPPED: reason, MESSAGE_ID: message.message_id})
        else:
            self.span.set_attribute(SKIPPED, reason)

    def end(self, *, shows_payloads: bool) -> float:
        """End the span; return how many seconds it took.

        Args:
            shows_payloads: whether the text of an error may have bytes of a payload.
        """
        for error, ids in self._failed.values():
            about = {MESSAGE_ID: ids[0]} if self.is_batch and len(ids) == 1 else {}
            record_failure(self.span, error, shows_payloads=shows_payloads, attributes=about)
        ended = time.time_ns()
        self.span.end(ended)
        return (ended - self.begun) / 1e9


_current: ContextVar[Processing | None] = ContextVar("rele_processing", default=None)

note_current = _current.set
"""Make it, or ``None``, the current one, for as long as the context of the caller lasts."""


def current_processing() -> Processing | None:
    """What is recorded of the handler whose hook calls this."""
    return _current.get()
