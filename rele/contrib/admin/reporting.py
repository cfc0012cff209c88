"""A thread in each worker process that reports to the page's tables every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.utils import timezone

from rele.config import Config
from rele.contrib.admin.exceptions import explained_errors
from rele.contrib.admin.tally import Tally
from rele.contrib.admin.writing import forget, purge, write, write_failure
from rele.management.databases import close_connections
from rele.runtime.in_use import IN_USE
from rele.status.providers import STATUS
from rele.status.snapshot import Snapshot

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two reports."""

FIRST_AFTER = 1.0
"""Seconds to the first report: a command that ends at once writes nothing."""

PURGE_EVERY = 300.0
"""Seconds between two deletions of what is old."""

_STOP_SECONDS = 2.0


@contextmanager
def reporting(config: Config, interval: float = INTERVAL) -> Iterator[None]:
    """Within the block, report what this process consumes, also what was handled in the end.

    A database that is unavailable, or does not answer, keeps no message from being handled.

    Args:
        config: the project's configuration; the routers choose the database.
        interval: seconds between two reports.
    """
    tally = Tally()
    IN_USE.add_own_hooks(tally)
    reporter = Reporter(tally, STATUS.snapshot)
    stop = threading.Event()
    thread = threading.Thread(
        target=_report_repeatedly,
        args=(reporter, stop, interval),
        name="rele-admin-report",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_SECONDS)


def _report_repeatedly(reporter: Reporter, stop: threading.Event, interval: float) -> None:
    wait = min(FIRST_AFTER, interval)
    while not stop.wait(wait):
        reporter.report()
        wait = interval
    reporter.end()


class Reporter:
    """Reports again and again; of an outage of the database it logs the beginning and the end.

    Args:
        tally: what was handled and what has failed.
        snapshot: of the process.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(
        self,
        tally: Tally,
        snapshot: Callable[[], Snapshot],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._snapshot = snapshot
        self._monotonic = monotonic
        self._purge_at = 0.0
        self._has_reported = False
        self._is_failing = False

    def report(self) -> None:
        """Write what is new, and delete what is old if it is time for that."""
        self._try(self._write)

    def end(self) -> None:
        """Write what is new, and that the process has ended."""
        if self._has_reported:
            self._try(self._write_last)

    def _write(self) -> None:
        self._write_news(self._snapshot())
        self._has_reported = True
        if self._monotonic() >= self._purge_at:
            purge(timezone.now())
            self._purge_at = self._monotonic() + PURGE_EVERY

    def _write_last(self) -> None:
        snapshot = self._snapshot()
        self._write_news(snapshot)
        forget(snapshot.process)

    def _write_news(self, snapshot: Snapshot) -> None:
        news = self._tally.unwritten()
        write(snapshot, news.minutes)
        self._tally.note_written(news.minutes)
        for failed in news.failures:
            write_failure(failed)
            self._tally.note_failure_written(failed)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            with explained_errors():
                do()
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker works on
            if not self._is_failing:
                logger.warning(
                    "This worker cannot report to the page in the admin, and works on without: %s",
                    error,
                )
            self._is_failing = True
        else:
            if self._is_failing:
                logger.info("This worker reports to the page in the admin again.")
            self._is_failing = False
        finally:
            close_connections()  # not kept open until the next report
