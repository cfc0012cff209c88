"""What a handler has raised, in a form that can be grouped and stored."""

from __future__ import annotations

import hashlib
import re
import traceback
from dataclasses import dataclass
from types import TracebackType

from rele.exceptions import Retry
from rele.messages.dead_letter_attributes import error_behind, type_name

TEXT = 300
"""Characters of an error's message that are kept."""

_NAME = 255
_TRACEBACK = 6_000

_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+", re.IGNORECASE)
"""What differs between errors that are the same: addresses, UUIDs and numbers."""


@dataclass(frozen=True)
class Raised:
    """One error of a handler."""

    fingerprint: str
    """The same for errors of one class and place whose messages differ in numbers alone."""
    kind: str
    """The class, as a dotted path; of a decision, that of the error behind it."""
    text: str
    """The first line of the message."""
    place: str
    """The module, the function and the line that raised it."""


def describe(subscription: str, error: BaseException) -> Raised:
    """What is kept of an ``error`` of a handler of ``subscription``."""
    behind = error_behind(error)
    kind = type_name(behind)
    # What a Retry says itself is how long it waits.
    text = ("" if isinstance(error, Retry) else _first_line(error)) or _first_line(behind)
    function, line = _last_frame(behind.__traceback__ or error.__traceback__)
    parts = (subscription, kind, function, _VARIES.sub("#", text))
    return Raised(
        hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest(),
        kind[:_NAME],
        text,
        f"{function}:{line}"[:_NAME] if function else "",
    )


def traceback_of(error: BaseException) -> str:
    """The end of the traceback of ``error``, as Python prints it, from the handler on."""
    try:
        trace = _from_the_handler(error.__traceback__)
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as another:  # noqa: BLE001 - of the project's own class
        text = f"The traceback cannot be printed: {type(another).__name__}."
    text = _storable(text)
    return text if len(text) <= _TRACEBACK else f"…{text[-_TRACEBACK:]}"


def _from_the_handler(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames of Relé that come first; all of it, if there are no others."""
    first = trace
    while first is not None:
        package, _, _ = first.tb_frame.f_globals.get("__name__", "").partition(".")
        if package != "rele":
            return first
        first = first.tb_next
    return trace


def _first_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as another:  # noqa: BLE001 - of the project's own class
        text = f"(its message cannot be printed: {type(another).__name__})"
    line = _storable(text).strip().partition("\n")[0].rstrip()
    return line if len(line) <= TEXT else f"{line[:TEXT]}…"


def _storable(text: str) -> str:
    """As any database takes it: without null characters and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _last_frame(trace: TracebackType | None) -> tuple[str, int]:
    """The function that raised the error, as a dotted path, and its line."""
    if trace is None:
        return "", 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame
    module = frame.f_globals.get("__name__", "")
    return f"{module}.{frame.f_code.co_name}", trace.tb_lineno
