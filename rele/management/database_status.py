"""Whether Django's databases can be used, which a worker's readiness depends on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections

from rele.messages.explaining import in_one_line
from rele.project.probes import OPTION
from rele.runtime.slow_question import SlowQuestion
from rele.runtime.worker_process import this_worker_process
from rele.status.providers import STATUS
from rele.status.snapshot import Complaint, Contribution, Probe

EVERY = 5.0
"""Seconds between two checks, at least."""

_SLOW_AFTER = 5.0
"""Seconds that a database may take to accept a connection."""


_GOOD_FOR = 60.0
"""Seconds for which the result of a check counts."""


@contextmanager
def contributing_databases(options: Mapping[str, Any]) -> Iterator[None]:
    """Within the block, the status of this process has what is wrong with Django's databases.

    Of several worker processes, that of the first has it; none without probes that show it.

    Args:
        options: of the command line.
    """
    process = this_worker_process()
    if options.get(OPTION) is None or (process is not None and not process.is_first):
        yield
        return
    aliases = [
        alias
        for alias, database in settings.DATABASES.items()
        if database.get("ENGINE") not in (None, "", "django.db.backends.dummy")
    ]
    forget = STATUS.add(DatabaseStatus(aliases).contribution)
    try:
        yield
    finally:
        forget()


class DatabaseStatus:
    """Connects to each database while somebody looks, and keeps no connection.

    Args:
        aliases: of the databases.
        every: seconds between two checks, at least.
        slow_after: seconds that a database may take to accept a connection.
        now: the time, in seconds of a clock that only advances.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        every: float = EVERY,
        slow_after: float = _SLOW_AFTER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._questions = {
            alias: SlowQuestion(
                f"database {alias}", partial(_error_of, alias), every, _GOOD_FOR, now
            )
            for alias in aliases
        }
        self._slow_after = slow_after

    def contribution(self) -> Contribution:
        """A complaint for each database that cannot be used."""
        found = {alias: self._error(question) for alias, question in self._questions.items()}
        return Contribution(
            complaints=tuple(
                Complaint(Probe.READY, f"database {alias}", error)
                for alias, error in found.items()
                if error
            )
        )

    def _error(self, question: SlowQuestion[str]) -> str:
        error = question.look()
        if (seconds := question.waits_for) > self._slow_after:
            return f"It has not accepted a connection for {seconds:.0f} s."
        return error or ""


def _error_of(alias: str) -> str:
    """Why the database cannot be used; empty: it can."""
    connection = connections.create_connection(alias)
    try:
        connection.connect()
    except Exception as error:  # noqa: BLE001 - of any driver
        return f"It cannot be used: {in_one_line(error)}"
    finally:
        connection.close()
    return ""
