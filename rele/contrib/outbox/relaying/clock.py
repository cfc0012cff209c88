"""The time by a database's clock, which all relays and writers of an outbox share."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

from django.conf import settings
from django.db import connections
from django.utils.timezone import get_default_timezone, make_naive

_MEASURED_EVERY = 60.0
"""Seconds after which clocks may have moved apart."""

_QUICK = 0.25
"""Seconds within which an answer is exact enough."""

_ATTEMPTS = 3

_QUERIES = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
}
"""What asks the server; any other database has the clock of this machine."""


class DatabaseClock:
    """Reads the clock of a database's server, by one query a minute.

    In between it counts on with this machine's monotonic clock, so that it does not matter when
    somebody sets the time of this machine. It is wrong by half the duration of the query at most.

    Args:
        alias: of the database. The query runs on the calling thread's connection.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(self, alias: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._alias = alias
        self._monotonic = monotonic
        self._offset = 0.0
        self._measured_at: float | None = None

    def now(self) -> datetime:
        """The time now, as ``django.utils.timezone.now()`` would have it on the server.

        It is aware with ``USE_TZ``, and else naive, in the project's time zone.

        Raises:
            django.db.Error: the database cannot be asked.
        """
        now = datetime.fromtimestamp(self._seconds(), timezone.utc)
        return now if settings.USE_TZ else make_naive(now, get_default_timezone())

    def forget(self) -> None:
        """Ask again the next time, since the connection may lead to another server now."""
        self._measured_at = None

    def _seconds(self) -> float:
        """Since 1970."""
        query = _QUERIES.get(connections[self._alias].vendor)
        if query is None:
            return time.time()
        if self._measured_at is None or self._monotonic() - self._measured_at >= _MEASURED_EVERY:
            self._measure(query)
        return self._offset + self._monotonic()

    def _measure(self, query: str) -> None:
        best = float("inf")
        for _ in range(_ATTEMPTS):
            started = self._monotonic()
            seconds = self._ask(query)
            took = self._monotonic() - started
            if took < best:
                best = took
                self._offset = seconds - (started + took / 2)
                self._measured_at = started
            if took <= _QUICK:
                return

    def _ask(self, query: str) -> float:
        with connections[self._alias].cursor() as cursor:
            cursor.execute(query)
            [answer] = cursor.fetchone()
        if isinstance(answer, datetime):
            return answer.replace(tzinfo=timezone.utc).timestamp()
        return float(answer)
