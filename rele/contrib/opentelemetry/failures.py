"""How a span says that something has failed, or what a handler has decided."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.trace import Span, Status, StatusCode

from rele.contrib.opentelemetry.names import DECISION, ERROR_TYPE, RETRY_DELAY
from rele.exceptions import DeadLetter, Decision, DecodeError, Drop, Reject, Retry

_DECISIONS: tuple[tuple[type[Decision], str], ...] = (
    (Retry, "retry"),
    (Drop, "drop"),
    (DeadLetter, "dead_letter"),
    (Reject, "reject"),
)

_FAILURES = (DeadLetter, Reject)
"""Decisions about a message that nobody has handled: a person should look at it."""


def class_of(error: BaseException) -> str:
    """The name of the class of ``error``, with its module unless that is ``builtins``."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def status_of(error: BaseException | str) -> str:
    """What has failed in a request: the status of gRPC where there is one, else the class.

    Args:
        error: the exception; or a text that begins with the status, such as ``UNAVAILABLE: why``.
    """
    if isinstance(error, str):
        status = error.partition(":")[0]
        return status if status.isupper() and " " not in status else "_OTHER"
    code = getattr(getattr(error, "grpc_status_code", None), "name", None)
    return code if isinstance(code, str) else class_of(error)


def failure_of(error: BaseException) -> str | None:
    """The type of the error by which a handler has failed; ``None`` if it has decided instead."""
    if isinstance(error, Decision) and not isinstance(error, _FAILURES):
        return None
    return class_of(error)


def decision_of(error: BaseException) -> dict[str, str | float]:
    """The attributes that say what a handler has decided; empty if it has decided nothing."""
    for kind, name in _DECISIONS:
        if isinstance(error, kind):
            attributes: dict[str, str | float] = {DECISION: name}
            if isinstance(error, Retry) and error.delay is not None:
                attributes[RETRY_DELAY] = error.delay
            return attributes
    return {}


def record_failure(
    span: Span,
    error: BaseException,
    *,
    shows_payloads: bool = True,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Record the exception by which a handler has failed.

    Args:
        span: of the handler.
        error: the exception.
        shows_payloads: whether its text may have bytes of the payload.
        attributes: of the event.
    """
    hides = isinstance(error, DecodeError) and not shows_payloads
    text = error.in_short if hides and isinstance(error, DecodeError) else str(error)
    hidden = {"exception.message": text, "exception.stacktrace": ""} if hides else {}
    span.record_exception(error, {**(attributes or {}), **hidden})
    span.set_attribute(ERROR_TYPE, class_of(error))
    span.set_status(Status(StatusCode.ERROR, text))


def fail_request(span: Span, error: BaseException | str) -> None:
    """Record why a request has failed."""
    span.set_attribute(ERROR_TYPE, status_of(error))
    span.set_status(Status(StatusCode.ERROR, str(error)))
