"""Waking a relay after a commit, without slowing commits down.

A NOTIFY within a transaction makes commits wait for each other. So it is sent after the commit, and
rarely: a relay that was woken polls the table for a while.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import connections, transaction

CHANNEL = "rele_outbox"

NOTIFY_INTERVAL = 0.1
"""The least number of seconds between two notifications of a process."""

LINGER = 0.25
"""For how many seconds a relay polls after the last message: longer than NOTIFY_INTERVAL."""

SHORT_POLL, LONG_POLL = 0.005, 1.0
"""Seconds between two polls: after a message, and while it waits for a notification."""

POLL_SHARE = 0.125
"""The pause between two polls as a part of the time since the last message, if that is more."""

POLL_WITHOUT_NOTIFY = 0.1
"""Seconds between two polls of a database without notifications."""


class _Notifier:
    """Sends a database at most one notification in each interval."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def is_due(self, alias: str) -> bool:
        """Return whether a notification is due; if so, count it as sent now."""
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(alias, -NOTIFY_INTERVAL) < NOTIFY_INTERVAL:
                return False
            self._last[alias] = now
            return True


_notifier = _Notifier()


def wake_after_commit(alias: str) -> None:
    """Wake the relays when the transaction on ``alias`` has committed.

    Without autocommit nobody says when that is: the relays find the message when they poll.
    """
    connection = connections[alias]
    if connection.vendor == "postgresql" and _learns_of_commit(connection):
        # Robust: an error here must not fail the caller, whose transaction is committed.
        transaction.on_commit(lambda: _notify(connection), using=alias, robust=True)


def _learns_of_commit(connection: Any) -> bool:
    """Whether Django calls what :func:`transaction.on_commit` is given, at the commit."""
    if connection.in_atomic_block:
        return bool(connection.commit_on_exit)  # False where autocommit was turned off before
    return bool(connection.get_autocommit())


def _notify(connection: Any) -> None:
    if _notifier.is_due(connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
