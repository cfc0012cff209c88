"""A worker that reports its status to its supervisor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from rele.runtime.worker_process import WorkerProcess
from rele.status.encoding import to_json
from rele.status.snapshot import Snapshot

logger = logging.getLogger(__name__)

EVENT = "status"
"""The word of the lines, each of which has a snapshot as its text."""

EVERY = 2.0
"""Seconds."""


def report_status(
    process: WorkerProcess, snapshot: Callable[[], Snapshot], every: float = EVERY
) -> None:
    """Send a snapshot at intervals of ``every`` seconds, until the process or its supervisor ends.

    Args:
        process: this one.
        snapshot: takes one.
        every: seconds.
    """
    threading.Thread(
        target=_report_repeatedly, args=(process, snapshot, every), name="rele-status", daemon=True
    ).start()


def _report_repeatedly(
    process: WorkerProcess, snapshot: Callable[[], Snapshot], every: float
) -> None:
    pause = threading.Event()
    while _report(process, snapshot):
        pause.wait(every)


def _report(process: WorkerProcess, snapshot: Callable[[], Snapshot]) -> bool:
    """Send one snapshot; return whether the supervisor is there."""
    try:
        text = to_json(snapshot())
    except Exception:
        logger.exception("The status of this worker cannot be reported.")
        return True
    return process.tell(EVENT, text)
