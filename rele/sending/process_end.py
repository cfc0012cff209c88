"""The end of this process: at which point it sends what is outstanding.

A process passes one of these points on its way out: the interpreter's exit handlers, the finalizers
of multiprocessing, or Celery's signal ``worker_process_shutdown``.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rele.sending.ends import (
    TELLING_CALLS,
    Call,
    Forked,
    Runner,
    Surroundings,
    publish_waits,
    surroundings_of,
)
from rele.sending.event_loops import is_in_running_loop

logger = logging.getLogger(__name__)

_FORKED_WITHOUT_EXEC = 0x40
"""PF_FORKNOEXEC of Linux's process flags."""


def surroundings() -> Surroundings:
    """What is known about this process now."""
    return surroundings_of(
        _calls_of_main_thread(), is_forked=_was_forked(), is_ending=_has_begun_to_end()
    )


def call_at_end(function: Callable[[], None], runner: Runner) -> None:
    """Call ``function`` when this process ends, unless it is killed.

    It may be called twice, because a process may pass several of the places named above.
    """
    atexit.unregister(function)
    atexit.register(function)
    if runner is Runner.MULTIPROCESSING:
        # Before Python 3.13 a forked child of multiprocessing ends without atexit.
        from multiprocessing.util import Finalize

        Finalize(None, function, exitpriority=0)
    elif runner is Runner.CELERY_POOL:
        _connect_to_celery(function)


class WaitsForOutcomes:
    """Whether each publish waits, blocking or not, because the process may end without sending.

    Args:
        around: the process.
        forked: what ``PUBLISHER_FORKED`` says.
    """

    def __init__(self, around: Surroundings, forked: Forked | None) -> None:
        self._waits = publish_waits(around, forked)
        self.runner = around.runner
        self._has_warned = False

    def __bool__(self) -> bool:
        """Whether a publish of the calling thread waits now."""
        if not self._waits or not is_in_running_loop():
            return self._waits
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "This process, which %s runs, may end without sending the last messages, and "
                "`rele.publish` does not wait for them in a running event loop: use `await "
                "rele.apublish(...)` there.",
                self.runner.value,
            )
        return False


def _connect_to_celery(function: Callable[[], None]) -> None:
    """Celery's pool processes end by ``os._exit``, right after this signal."""

    def on_shutdown(**kwargs: Any) -> None:
        function()

    signals: Any = sys.modules["celery.signals"]  # Celery runs this process
    signals.worker_process_shutdown.connect(
        on_shutdown, weak=False, dispatch_uid=f"rele-{id(function)}"
    )


def _calls_of_main_thread() -> Iterator[Call]:
    """The calls under way in the main thread, the innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        function = frame.f_code.co_name
        if function in TELLING_CALLS:
            yield Call(frame.f_globals.get("__name__", ""), function, frame.f_locals.get("self"))
        frame = frame.f_back


def _was_forked() -> bool:
    """Whether this process is a copy of its parent; False where the system does not say so."""
    try:
        stat = Path("/proc/self/stat").read_text("ascii", "replace")
        # After the program's name, which may contain anything, comes the third field.
        return bool(int(stat.rpartition(")")[2].split()[6]) & _FORKED_WITHOUT_EXEC)
    except (OSError, ValueError, IndexError):
        return False


def _has_begun_to_end() -> bool:
    """Whether the main thread has returned: exit handlers may be running already."""
    multiprocessing = sys.modules.get("multiprocessing.util")
    return bool(
        getattr(threading, "_SHUTTING_DOWN", False)
        or (multiprocessing is not None and multiprocessing.is_exiting())
    )
