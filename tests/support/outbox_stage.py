"""What a world around an outbox (:mod:`tests.support.outbox_world`) is played on.

The time of all clocks passes only when a test says so, and each thread, which has a connection of
its own, does something only when it is called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from django.db import OperationalError, connections
from django.db.backends.signals import connection_created
from django.utils import timezone

from rele.contrib.outbox import scheduling
from rele.contrib.outbox.relaying import heartbeat, waiting
from rele.contrib.outbox.relaying import relay as relay_module
from rele.contrib.outbox.relaying.ownership import ownership_of
from rele.contrib.outbox.relaying.waiting import RelayWaiter
from tests.support.outbox import ALIAS
from tests.support.polling import wait_until

T = TypeVar("T")


class Clock:
    """The time of all clocks: of the relays and of the database."""

    def __init__(self) -> None:
        self._epoch = timezone.now()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self.seconds)

    def forget(self) -> None:
        """It is the same wherever the connection leads."""


class Thread:
    """Runs one function after the other in a thread of its own."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1)

    def run(self, function: Callable[[], T]) -> T:
        return self._executor.submit(function).result(60)

    def end(self) -> None:
        self.run(drop_connection)
        self.run(connections.close_all)
        self._executor.shutdown()


@dataclass
class Interruption:
    """What happens in the middle of a relay's step.

    Args:
        statement: at which of its statements, from 1.
        happen: what happens; it may raise.
        is_late: whether the statement is executed before that.
        about: what must be in a statement that is counted.
    """

    statement: int
    happen: Callable[[], object]
    is_late: bool
    about: str = ""


@dataclass
class Stage:
    """What the worlds of one test share, so that they need not connect anew.

    Args:
        kind: of the database.
        by_commit: whether the database knows when each transaction has committed.
    """

    kind: str
    by_commit: bool = False
    clock: Clock = field(default_factory=Clock)
    refused: tuple[str, ...] = ()
    """The words with which statements of relays begin that the database refuses."""
    interruption: Interruption | None = None
    errors: list[str] = field(default_factory=list)
    """What relays have logged as their own faults."""

    def __post_init__(self) -> None:
        self.writers = [Thread() for _ in range(1 if self.kind == "sqlite" else 3)]
        self.relays = [Thread() for _ in range(1 if self.kind == "sqlite" else 2)]

    def end(self) -> None:
        for thread in (*self.writers, *self.relays):
            thread.end()

    def execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        """Wraps the statements of relays."""
        interruption = self.interruption
        if interruption is not None and interruption.about in sql:
            interruption.statement -= 1
            if interruption.statement == 0:
                self.interruption = None
                result = execute(sql, params, many, context) if interruption.is_late else None
                interruption.happen()
                if interruption.is_late:
                    return result
        if self.refused and sql.startswith(self.refused):
            raise OperationalError("refused for this test")
        return execute(sql, params, many, context)


def _do_not_sync(connection: Any, **_: Any) -> None:
    """Nothing here is about a crash of the machine."""
    if connection.vendor == "sqlite":
        connection.connection.execute("PRAGMA synchronous = OFF")


class _Faults(logging.Handler):
    def __init__(self, stage: Stage) -> None:
        super().__init__(logging.ERROR)
        self._stage = stage

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._stage.errors.append(logging.Formatter().format(record))


@contextmanager
def stage(
    kind: str, monkeypatch: pytest.MonkeyPatch, *, by_commit: bool = False
) -> Iterator[Stage]:
    """Let relays run in virtual time on the database of ``connections[ALIAS]``."""
    made = Stage(kind, by_commit)
    clock = made.clock
    numbers = count()

    class Waiter(RelayWaiter):
        def wait(self, seconds: float) -> bool:
            clock.seconds += max(seconds, 0.0)
            return False

    monkeypatch.setattr(relay_module, "time", clock)
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(relay_module, "RelayWaiter", Waiter)
    monkeypatch.setattr(relay_module, "DatabaseClock", lambda alias: clock)
    monkeypatch.setattr(scheduling, "DatabaseClock", lambda alias: clock)
    monkeypatch.setattr(
        relay_module, "ownership_of", partial(ownership_of, monotonic=clock.monotonic)
    )
    monkeypatch.setattr(heartbeat, "new_name", lambda: f"relay-{next(numbers):06}")
    handler = _Faults(made)
    logging.getLogger("rele").addHandler(handler)
    connection_created.connect(_do_not_sync)
    try:
        yield made
    finally:
        connection_created.disconnect(_do_not_sync)
        logging.getLogger("rele").removeHandler(handler)
        made.end()


def session() -> int | None:
    """The number of this thread's session with the database server, if it has one."""
    connection = connections[ALIAS].connection
    if connection is None or getattr(connection, "closed", False):
        return None
    if connections[ALIAS].vendor == "postgresql":
        return int(connection.info.backend_pid)
    return int(connection.thread_id()) if connections[ALIAS].vendor == "mysql" else None


def drop_connection() -> None:
    """End this thread's session, which may have ended."""
    with suppress(Exception):
        connections[ALIAS].close()
    connections[ALIAS].connection = None


def end(session: int) -> None:
    """Let the server end a session."""
    is_mysql = connections[ALIAS].vendor == "mysql"
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("KILL %s" if is_mysql else "SELECT pg_terminate_backend(%s)", [session])
    wait_for_the_end_of(session)


def wait_for_the_end_of(session: int | None) -> None:
    if session is None:
        return
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        if connections[ALIAS].vendor == "postgresql"
        else "SELECT count(*) FROM information_schema.processlist WHERE id = %s"
    )

    def has_ended() -> bool:
        with connections[ALIAS].cursor() as cursor:
            cursor.execute(query, [session])
            return bool(cursor.fetchone()[0] == 0)

    wait_until(has_ended, 20, every=0.001)
