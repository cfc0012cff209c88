"""Reporting what is waited for, if it takes seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LONG_WAIT = 1.0
"""Seconds after which a wait is worth a line."""


@contextmanager
def reported_if_long(report: Callable[[], object], seconds: float = LONG_WAIT) -> Iterator[None]:
    """Call ``report``, in a thread of its own, if the block takes longer than ``seconds``."""
    timer = threading.Timer(seconds, report)
    timer.daemon = True
    with suppress(RuntimeError):  # an interpreter that shuts down starts no thread
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
