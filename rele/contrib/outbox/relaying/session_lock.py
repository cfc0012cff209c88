"""A lock of a relay's session with its database, by which others see at once that it has ended.

The server frees it with the session, even if the relay was killed. Leases alone keep relays apart:
this lock only tells others that they need not wait until a lease is over.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Protocol

from django.db import Error as AnyDatabaseError
from django.db import connections

from rele.contrib.outbox.relaying.own_connection import (
    autocommitting,
    run_statement,
)

logger = logging.getLogger(__name__)


class _Server(Protocol):
    """What a kind of database can do."""

    def take(self, cursor: Any) -> tuple[int | None, int]:
        """Lock a new number, and return it with the id of the session; ``None`` if it cannot."""

    def look(self, cursor: Any, numbers: Collection[int]) -> tuple[int, dict[int, int]]:
        """The id of this session, and those of the sessions that hold the numbers."""

    def knows(self, number: int, own: int | None) -> bool:
        """Whether this server can tell of ``number`` that it is free."""

    def leave(self, cursor: Any, number: int | None) -> None:
        """Unlock ``number``, and end all else that the session has for the relay."""


class _PostgreSQL:
    _HELD = (
        "SELECT pg_backend_pid(), pid, (classid::bigint << 32) | objid::bigint FROM"
        " (SELECT 1) AS always LEFT JOIN pg_locks ON locktype = 'advisory' AND objsubid = 1 AND"
        " granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = ANY(%s)"
    )

    def take(self, cursor: Any) -> tuple[int | None, int]:
        number = secrets.randbits(63)
        cursor.execute("SELECT pg_try_advisory_lock(%s), pg_backend_pid()", [number])
        is_taken, session = cursor.fetchone()
        return number if is_taken else None, session

    def look(self, cursor: Any, numbers: Collection[int]) -> tuple[int, dict[int, int]]:
        cursor.execute(self._HELD, [list(numbers)])
        rows = cursor.fetchall()
        return rows[0][0], {number: pid for _, pid, number in rows if pid is not None}

    def knows(self, number: int, own: int | None) -> bool:
        return True

    def leave(self, cursor: Any, number: int | None) -> None:
        cursor.execute("UNLISTEN *")
        if number is not None:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [number])


class _MySQL:
    """Its locks are those of one server; behind a cluster's address there may be several.

    So the first bits of a number stand for the server.
    """

    _RANDOM_BITS = 47

    def take(self, cursor: Any) -> tuple[int | None, int]:
        cursor.execute("SELECT CRC32(CONCAT_WS(':', @@hostname, @@port, @@datadir)) % 32768")
        [server] = cursor.fetchone()
        number = int(server) << self._RANDOM_BITS | secrets.randbits(self._RANDOM_BITS)
        cursor.execute("SELECT GET_LOCK(%s, 0), CONNECTION_ID()", [self._name(number)])
        is_taken, session = cursor.fetchone()
        return number if is_taken == 1 else None, session

    def look(self, cursor: Any, numbers: Collection[int]) -> tuple[int, dict[int, int]]:
        columns = "".join(", IS_USED_LOCK(%s)" for _ in numbers)
        cursor.execute(f"SELECT CONNECTION_ID(){columns}", [self._name(each) for each in numbers])
        session, *holders = cursor.fetchone()
        held = zip(numbers, holders, strict=True)
        return session, {number: holder for number, holder in held if holder is not None}

    def knows(self, number: int, own: int | None) -> bool:
        return own is not None and number >> self._RANDOM_BITS == own >> self._RANDOM_BITS

    def leave(self, cursor: Any, number: int | None) -> None:
        if number is not None:
            cursor.execute("SELECT RELEASE_LOCK(%s)", [self._name(number)])

    def _name(self, number: int) -> str:
        return f"rele_outbox_{number:x}"


_SERVERS: dict[str, _Server] = {"postgresql": _PostgreSQL(), "mysql": _MySQL()}


class SessionLock:
    """The lock of one relay, on its thread's connection.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self.number: int | None = None
        """What others may look for; ``None`` where the lock cannot be relied on."""
        self._connection: Any = None
        """Of the driver, on which it was taken."""
        self._session = 0

    def renew(self) -> bool:
        """Take a new lock if the connection is a new one; return whether it was.

        Raises:
            django.db.Error: the database cannot be used.
        """
        connection = autocommitting(self._alias)
        if connection.connection is self._connection:
            return False
        self.number = None
        if (server := _SERVERS.get(connection.vendor)) is not None:
            with connection.cursor() as cursor:
                self.number, self._session = server.take(cursor)
        self._connection = connection.connection
        return True

    def free_among(self, numbers: Collection[int]) -> frozenset[int]:
        """Those of the locks ``numbers`` that no session holds.

        It also finds out whether this lock is still held. Behind PgBouncer's transaction pooling
        it may belong to another connection; then ``number`` is ``None`` from now on.

        Raises:
            django.db.Error: the database cannot be used.
        """
        connection = autocommitting(self._alias)
        server = _SERVERS.get(connection.vendor)
        own = self.number
        if server is None or (own is None and not numbers):
            return frozenset()
        asked = sorted({*numbers, *(() if own is None else (own,))})

        def look() -> tuple[int, dict[int, int]]:
            with connection.cursor() as cursor:
                return server.look(cursor, asked)

        session, held = run_statement(self._alias, look)
        if own is not None and not session == self._session == held.get(own):
            logger.debug("The session lock is of another connection: leases are relied on alone.")
            self.number = None
        return frozenset(
            number for number in numbers if number not in held and server.knows(number, own)
        )

    def leave_session(self) -> None:
        """Free the lock, and end LISTEN: a pool gives the connection to others.

        If that is not possible, the session has ended, and with it the lock.
        """
        connection = connections[self._alias]
        number = self.number if connection.connection is self._connection else None
        self.number = self._connection = None
        server = _SERVERS.get(connection.vendor)
        if server is not None and connection.connection is not None:
            with suppress(AnyDatabaseError), connection.cursor() as cursor:
                server.leave(cursor, number)

    def close_connection(self) -> None:
        """Close this thread's connection, of whose session nothing remains."""
        self.leave_session()
        try:
            connections[self._alias].close()
        except Exception as error:  # noqa: BLE001 - the driver's; the connection is dropped
            logger.debug("Closing the connection to %r failed: %s", self._alias, error)
