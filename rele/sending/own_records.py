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
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_MARK = "rele_about_publishing"

# Whoever handles a record is below one of them, a QueueListener in a thread of its own, too.
_OF_LOGGER = logging.Logger.handle.__code__
_OF_HANDLER = logging.Handler.handle.__code__

_is_silent: ContextVar[bool] = ContextVar("rele_is_silent", default=False)


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
        extra = {**(extra or {}), _MARK: True}
        logger.log(level, message, *args, extra=extra, exc_info=exc_info, stacklevel=2)


def is_caused_by_own_record() -> bool:
    """Whether what calls this happens because of a record about a publish."""
    return _is_silent.get() or _is_handling_own_record()


@contextmanager
def silent(is_caused: bool = True) -> Iterator[None]:
    """Within the block, log nothing about publishing, if ``is_caused`` by a record about it."""
    token = _is_silent.set(is_caused or _is_silent.get())
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
