"""Django's databases: what is wrong with their settings for a worker, and a thread's connections.

Each connection is closed and renewed by itself, so that one that fails does not keep the others.
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as AnyDatabaseError

from rele.exceptions import ReleError
from rele.messages.explaining import explained
from rele.schema.problems import Problem

logger = logging.getLogger(__name__)

LASTING_CONNECTIONS = "rele.W005"
"""The id of the problem that a database's connections outlive a message."""


def problems_of_databases(
    databases: Mapping[str, Mapping[str, Any]], middleware: Iterable[str]
) -> Iterator[Problem]:
    """What is wrong with Django's setting DATABASES, and with RELE['MIDDLEWARE'] beside it."""
    used = {
        alias: database
        for alias, database in databases.items()
        if database.get("ENGINE") not in (None, "django.db.backends.dummy")
    }
    if used and not any(map(_closes_connections, middleware)):
        yield Problem(
            "rele.W004",
            "A database is in use without DjangoDBMiddleware: the worker's threads would keep "
            "connections that the database has closed.",
            "Add 'rele.contrib.DjangoDBMiddleware' to RELE['MIDDLEWARE'].",
            "MIDDLEWARE",
        )
    for alias, database in used.items():
        if database.get("CONN_MAX_AGE", 0) != 0:
            yield Problem(
                LASTING_CONNECTIONS,
                f"The database {alias!r} has CONN_MAX_AGE = {database['CONN_MAX_AGE']!r}: each "
                "thread of the worker would keep a connection open.",
                "Set CONN_MAX_AGE to 0 for the worker.",
            )


def problem_of_isolation(alias: str, level: object) -> Problem | None:
    """That transactions of the database ``alias`` see what others may still roll back.

    Args:
        alias: of the database.
        level: of isolation, as its settings or its server name it; ``None`` if neither is known.
    """
    if str(level).lower().replace("-", " ") != "read uncommitted":
        return None
    return Problem(
        "rele.E013",
        f"The database {alias!r} has the isolation level READ UNCOMMITTED: messages would be sent, "
        "or taken for handled, whose transaction is rolled back.",
        "Set OPTIONS['isolation_level'] to 'read committed' in DATABASES.",
    )


def stated_isolation(alias: str, databases: Mapping[str, Mapping[str, Any]]) -> object:
    """The isolation level that DATABASES states for MySQL or MariaDB; ``None`` if it states none.

    For PostgreSQL, READ UNCOMMITTED is another name of READ COMMITTED.
    """
    database = databases.get(alias, {})
    if not str(database.get("ENGINE")).endswith("mysql"):
        return None
    return database.get("OPTIONS", {}).get("isolation_level")


def _closes_connections(path: str) -> bool:
    try:
        middleware = pkgutil.resolve_name(path)
    except Exception:  # noqa: BLE001 - the project's own code; another check reports it
        return False
    return bool(getattr(middleware, "closes_database_connections", False))


def renew_connections(*, keep: Container[str] = ()) -> None:
    """Close this thread's connections that are unusable or too old; the next query reopens them.

    A connection in the middle of a transaction stays open: it is the caller's.

    Args:
        keep: aliases whose connections are left alone.
    """
    for connection in connections.all(initialized_only=True):
        if connection.alias not in keep:
            _renew(connection)


def renew_failed_connections() -> None:
    """Close those of this thread's connections that a failed query has made unusable."""
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            _renew(connection)


def close_connections() -> None:
    """Close all of this thread's connections."""
    for connection in connections.all(initialized_only=True):
        _close(connection)


def _renew(connection: Any) -> None:
    if connection.in_atomic_block:
        return
    try:
        connection.close_if_unusable_or_obsolete()
    except Exception as error:  # noqa: BLE001 - the driver's; the others follow
        _warn(connection.alias, error)
        _close(connection)


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - the driver's; the others follow
        _warn(connection.alias, error)


def _warn(alias: str, error: Exception) -> None:
    logger.warning(
        "Closing the connection to the database %r failed: %s: %s",
        alias,
        type(error).__name__,
        error,
    )


@dataclass(frozen=True)
class Tables:
    """The tables of one of Relé's Django apps, and how errors about them are explained."""

    what: str
    """What the app is, as the errors call it."""
    names: frozenset[str]
    error_class: type[ReleError]

    @contextmanager
    def explained_errors(self, alias: str) -> Iterator[None]:
        """Within the block, turn an error of the database ``alias`` into an ``error_class``."""
        try:
            yield
        except AnyDatabaseError as error:
            text = f"{self._complaint(error)}{self._remedy_found_in(alias)}"
            raise self.error_class(text) from error

    @contextmanager
    def named_where_missing(self, alias: str) -> Iterator[None]:
        """Within the block, let the error that one of them is missing say what to do.

        It stays of its class, and other errors stay as they are. The database is not asked: on
        PostgreSQL the transaction answers no more.
        """
        try:
            yield
        except AnyDatabaseError as error:
            if not self._are_missing(error):
                raise
            text = f"{self._complaint(error)}{self._migrate(alias)}"
            raise explained(error, text) from None

    def _are_missing(self, error: AnyDatabaseError) -> bool:
        code = getattr(error.__cause__, "sqlstate", None) or getattr(
            error.__cause__, "pgcode", None
        )
        is_one_missing = (
            code == _UNDEFINED_TABLE
            or error.args[:1] == (_NO_SUCH_TABLE,)
            or "no such table" in str(error)
        )
        return is_one_missing and any(name in str(error) for name in self.names)

    def _complaint(self, error: AnyDatabaseError) -> str:
        texts = [arg for arg in error.args if isinstance(arg, str)]  # MySQL's have a number, too
        reason = (texts[0] if texts else str(error)).strip().partition("\n")[0].rstrip(".")
        return f"The {self.what} cannot be used: {reason}."

    def _remedy_found_in(self, alias: str) -> str:
        """What the user can do, judging by the tables in the database."""
        connection = connections[alias]
        try:
            with connection.cursor() as cursor:
                tables = connection.introspection.table_names(cursor)
        except AnyDatabaseError:
            return f" Check that the database {alias!r} is running and can be reached."
        return "" if self.names <= set(tables) else self._migrate(alias)

    def _migrate(self, alias: str) -> str:
        what = "Its table is missing" if len(self.names) == 1 else "Its tables are missing"
        where = "" if alias == DEFAULT_DB_ALIAS else f", with --database {alias}"
        return f" {what}: run `manage.py migrate`{where}."


_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_NO_SUCH_TABLE = 1146  # https://mariadb.com/kb/en/mariadb-error-codes/
