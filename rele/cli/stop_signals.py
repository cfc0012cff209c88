"""What the signals do that stop a command: it ends after what is under way, or at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rele.runtime.stopping import StopRequest, catch_stop_signals


@contextmanager
def noted() -> Iterator[StopRequest]:
    """Within the block, a signal requests a stop; a second one ends the process at once.

    Outside of the main thread, Python lets nobody catch signals.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    undo = catch_stop_signals(lambda *_: stop.request_by_signal())
    try:
        yield stop
    finally:
        undo()


@contextmanager
def raised() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    undo = catch_stop_signals(_interrupt)
    try:
        yield
    finally:
        undo()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
