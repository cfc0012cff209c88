"""Relé's log records about publishing, without an endless loop if log records are published.

A project may have a log handler that publishes records. Relé logs about that publish as well; the
handler would publish this record too, and so on for ever. So each record about a publish carries a
mark, and Relé logs nothing about a publish that a marked record has caused: neither while a handler
has the record, nor later, when the outcome is known, perhaps in another process.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

_MARK = "rele_about_publishing"

# The code of every handler is called by one of these two, also in a QueueListener's thread.
_OF_LOGGER = logging.Logger.handle.__code__
_OF_HANDLER = logging.Handler.handle.__code__

_is_silent: ContextVar[bool] = ContextVar("rele_is_silent", default=False)

_alive: set[int] = set()
"""The marks of all records that still exist; while it is empty, no such record is handled."""


class _Mark(str):
    """The mark of a record; it lives as long as the record and its copies.

    The mark is a string because formatters write all attributes of a record, also as JSON.
    """

    __slots__ = ()

    def __new__(cls) -> _Mark:
        mark = super().__new__(cls, "yes")
        _alive.add(id(mark))
        return mark

    def __del__(self, alive: set[int] = _alive) -> None:
        alive.discard(id(self))

    def __reduce__(self) -> tuple[type[_Mark], tuple[()]]:
        """Make a mark that also counts in the process that receives the record."""
        return _Mark, ()


def log_publishing(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    extra: Mapping[str, Any] | None = None,
    exc_info: Any = None,
) -> None:
    """Log a record about a publish, unless that publish was caused by such a record itself."""
    if logger.isEnabledFor(level) and not is_caused_by_own_record():
        extra = {**(extra or {}), _MARK: _Mark()}
        logger.log(level, message, *args, extra=extra, exc_info=exc_info, stacklevel=2)


def is_caused_by_own_record() -> bool:
    """Whether the caller runs because a record about a publish is being handled."""
    # Searching the stack takes longer than the rest of a publish, so it comes last.
    return _is_silent.get() or (bool(_alive) and _is_handling_own_record())


def silent(is_caused: bool = True) -> AbstractContextManager[None]:
    """Within the block, log nothing about publishing, if ``is_caused`` by a record about it."""
    return _silence() if is_caused else _AS_BEFORE


_AS_BEFORE = nullcontext()


@contextmanager
def _silence() -> Iterator[None]:
    token = _is_silent.set(True)
    try:
        yield
    finally:
        _is_silent.reset(token)


def _is_handling_own_record() -> bool:
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        # By identity, which is faster than comparing code objects for equality at every frame.
        if (code is _OF_LOGGER or code is _OF_HANDLER) and _is_marked(frame.f_locals.get("record")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_marked(record: Any) -> bool:
    return hasattr(record, _MARK)
