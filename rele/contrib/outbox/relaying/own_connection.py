"""A relay's connection to its database, where each statement commits by itself."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import connections

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 10

_LONGEST_PAUSE = 0.02
"""Seconds before a statement is tried again, so that two do not meet once more."""

_CONFLICTS = frozenset({"40001", "40P01", 1020, 1205, 1213})
"""A serialization failure and a deadlock, as PostgreSQL and as MySQL and MariaDB number them."""


def is_conflict(error: BaseException) -> bool:
    """Whether a statement may succeed when it is tried again: it met another one."""
    cause = error.__cause__
    codes = (getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None), *error.args[:1])
    return any(isinstance(code, (str, int)) and code in _CONFLICTS for code in codes)


def autocommitting(alias: str) -> Any:
    """This thread's connection to ``alias``, where each statement commits by itself.

    That is so with ``AUTOCOMMIT = False``, too; and after Django has connected anew.

    Raises:
        django.db.Error: it cannot connect.
    """
    connection = connections[alias]
    connection.ensure_connection()
    if not connection.get_autocommit():
        connection.set_autocommit(True)
    return connection


def run_statement(alias: str, statement: Callable[[], T]) -> T:
    """Run what executes one statement; again if it has met another one's locks or changes.

    Raises:
        django.db.Error: it has failed otherwise, or too often.
    """
    for attempt in range(_ATTEMPTS):
        autocommitting(alias)
        try:
            return statement()
        except AnyDatabaseError as error:
            if attempt == _ATTEMPTS - 1 or not is_conflict(error):
                raise
            logger.debug("A statement is tried again: %s", error)
        time.sleep(random.uniform(0, _LONGEST_PAUSE))
    raise AssertionError("unreachable")
