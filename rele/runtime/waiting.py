"""Reporting a wait that takes long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LONG_WAIT = 1.0
"""Seconds after which a wait is reported."""


@contextmanager
def reported_if_long(report: Callable[[], object], seconds: float = LONG_WAIT) -> Iterator[None]:
    """Call ``report``, in a thread of its own, if the block takes longer than ``seconds``."""
    timer = threading.Timer(seconds, report)
    timer.daemon = True
    with suppress(RuntimeError):  # an interpreter that shuts down cannot start a thread
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
