"""Relé's log records about publishing, which end where such a record is published itself.

A project may have a log handler that publishes records. What Relé logs about that publish is
another record, which would be published, and so on for ever. So a record about a publish carries a
mark, and about a publish that a marked record has caused nothing is logged: neither here, while a
handler has the record, nor later and elsewhere, where its outcome is known.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

_MARK = "rele_about_publishing"

# Whoever handles a record is below one of them, a QueueListener in a thread of its own, too.
_OF_LOGGER = logging.Logger.handle.__code__
_OF_HANDLER = logging.Handler.handle.__code__

_is_silent: ContextVar[bool] = ContextVar("rele_is_silent", default=False)

_alive: set[int] = set()
"""The marks of the records that somebody still has: an empty set means that none is handled."""


class _Mark(str):
    """What marks a record, and lives as long as the record and its copies do.

    A text, since formatters write all attributes of a record, as JSON too.
    """

    __slots__ = ()

    def __new__(cls) -> _Mark:
        mark = super().__new__(cls, "yes")
        _alive.add(id(mark))
        return mark

    def __del__(self, alive: set[int] = _alive) -> None:
        alive.discard(id(self))

    def __reduce__(self) -> tuple[type[_Mark], tuple[()]]:
        """Count in the process that gets the record, too."""
        return _Mark, ()


def log_publishing(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    extra: Mapping[str, Any] | None = None,
    exc_info: Any = None,
) -> None:
    """Log a record about a publish, unless a record about another one has caused that."""
    if logger.isEnabledFor(level) and not is_caused_by_own_record():
        extra = {**(extra or {}), _MARK: _Mark()}
        logger.log(level, message, *args, extra=extra, exc_info=exc_info, stacklevel=2)


def is_caused_by_own_record() -> bool:
    """Whether what calls this happens because of a record about a publish."""
    # The way up the stack takes longer than all the rest of a publish.
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
        # By identity: to compare code for equality, at every frame of every publish, takes longer.
        if (code is _OF_LOGGER or code is _OF_HANDLER) and _is_marked(frame.f_locals.get("record")):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_marked(record: Any) -> bool:
    return hasattr(record, _MARK)
