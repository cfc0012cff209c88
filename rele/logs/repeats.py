"""Fewer lines about a fault that is logged for each message."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from rele.messages.payload_view import LAST_COPY

_MOST_FAULTS = 1000
"""Faults that are remembered at a time."""


@dataclass
class _Window:
    """How often a fault was logged, from a moment on."""

    since: float
    count: int = 1


class RepeatFilter(logging.Filter):
    """Lets a record pass only so many times in a period; says how many were left out.

    Of Relé's records from WARNING up, those are alike that have the same logger, text (whatever its
    arguments) and subscription, with exceptions of one class from one place. A record of
    LoggingMiddleware is never left out, since programs count them: it only loses its traceback,
    where a formatter of Relé's writes it. Nor is one with the last copy of a payload.

    Args:
        name: of the logger that is concerned, with those below it.
        most: how many alike pass in a period.
        seconds: of the period.
        now: a clock, in seconds.
    """

    def __init__(
        self,
        name: str = "rele",
        most: int = 10,
        seconds: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name)
        self._most = most
        self._seconds = seconds
        self._now = now
        self._windows: dict[Hashable, _Window] = {}
        self._lock = threading.RLock()  # a signal handler may log, too

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether ``record`` passes; note on it what a formatter is to add or to leave out."""
        if record.levelno < logging.WARNING or not super().filter(record):
            return True
        if LAST_COPY.items() <= vars(record).items():
            return True
        own, is_counted = vars(record), hasattr(record, "metrics")
        count, left_out = self._count(_fault_of(record))
        if left_out:
            what = "tracebacks" if is_counted else "lines"
            own["rele_note"] = f"{left_out:,} {what} like this were left out"
        elif count == self._most:
            what = "tracebacks" if is_counted else "lines"
            own["rele_note"] = f"further {what} like this are left out for {self._seconds:.0f} s"
        if count <= self._most:
            return True
        own["rele_is_repeat"] = True
        return is_counted

    def _count(self, fault: Hashable) -> tuple[int, int]:
        """The number of this record in its period, and how many the last one left out."""
        now = self._now()
        with self._lock:
            window = self._windows.get(fault)
            if window is not None and now - window.since < self._seconds:
                window.count += 1
                return window.count, 0
            if window is None and len(self._windows) >= _MOST_FAULTS:
                self._forget(now)
            self._windows[fault] = _Window(now)
            return 1, 0 if window is None else max(window.count - self._most, 0)

    def _forget(self, now: float) -> None:
        recent = {
            fault: window
            for fault, window in self._windows.items()
            if now - window.since < self._seconds
        }
        self._windows = recent if len(recent) < _MOST_FAULTS else {}


def is_repeat(record: logging.LogRecord) -> bool:
    """Whether the record is one of too many, so that its traceback is left out."""
    return getattr(record, "rele_is_repeat", False) is True


def noted(record: logging.LogRecord, line: str) -> str:
    """The ``line`` about ``record``, with what it is to say about others like it."""
    note = getattr(record, "rele_note", "")
    return f"{line} ({note})" if note else line


def _fault_of(record: logging.LogRecord) -> Hashable:
    error = record.exc_info[1] if record.exc_info else None
    metrics: Any = getattr(record, "metrics", None)
    data = metrics.get("data") if isinstance(metrics, dict) else None
    subscription = data.get("subscription") if isinstance(data, dict) else None
    return record.name, record.levelno, str(record.msg), subscription, type(error), _place(error)


def _place(error: BaseException | None) -> tuple[str, int] | None:
    """Where ``error`` was raised."""
    trace = None if error is None else error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno
