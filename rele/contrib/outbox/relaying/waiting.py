"""Where a relay's thread waits: for outcomes, for commits, or for the time of the next step."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from inspect import signature
from typing import Any

from django.db import connections

from rele.contrib.outbox.waking import (
    CHANNEL,
    LINGER,
    LONG_POLL,
    POLL_SHARE,
    POLL_WITHOUT_NOTIFY,
    SHORT_POLL,
)


class RelayWaiter:
    """Waits on the relay's own connection, and for what other threads report.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._listening: Any = None
        """The driver's connection that listens for notifications."""
        self._saw_messages_at = float("-inf")
        self._receiver: socket.socket | None = None
        self._sender: socket.socket | None = None
        self._is_awake = False

    def open(self) -> None:
        """Begin; :meth:`close` must follow."""
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._is_awake = False

    @property
    def poll_seconds(self) -> float:
        """How long to wait before the next look, if nothing says that there was a commit."""
        since = time.monotonic() - self._saw_messages_at
        if since < LINGER:
            return max(SHORT_POLL, POLL_SHARE * since)
        return LONG_POLL if self._is_listening else POLL_WITHOUT_NOTIFY

    def saw_messages(self) -> None:
        """Poll for a while: the next notification may be late."""
        self._saw_messages_at = time.monotonic()

    def wake(self) -> None:
        """End the wait; may be called in a signal handler, and from any thread."""
        sender = self._sender
        if self._is_awake or sender is None:
            return
        self._is_awake = True
        with suppress(OSError):  # it is closed
            sender.send(b"\0")

    def wait(self, seconds: float) -> bool:
        """Wait until :meth:`wake`, a commit or the end of the time.

        Returns:
            whether a commit was announced.
        """
        if self._was_notified():
            return True
        if seconds > 0:
            self._select(seconds)
        assert self._receiver is not None
        with suppress(BlockingIOError):
            self._receiver.recv(4096)
        # After it is read: what is reported from now on wakes again.
        self._is_awake = False
        return self._was_notified()

    def listen(self) -> bool:
        """Listen for notifications, where the database has them; return whether this is new.

        Earlier commits were not announced, so a look must follow.

        Raises:
            django.db.Error: the database cannot be used.
        """
        connection = connections[self._alias]
        if connection.vendor != "postgresql":
            return False
        connection.ensure_connection()
        if connection.connection is self._listening:
            return False
        self._listening = None
        if not _can_wait_for_notifications(connection.connection):
            return False
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
        self._listening = connection.connection
        return True

    def forget(self) -> None:
        """Listen anew the next time: the connection was closed.

        A pool may return the same one, which does not listen any more.
        """
        self._listening = None

    def close(self) -> None:
        """Listen no more: a pool may give the connection to others."""
        if self._is_listening:
            with suppress(Exception), connections[self._alias].cursor() as cursor:
                cursor.execute(f"UNLISTEN {CHANNEL}")
        self._listening = None
        sockets, self._receiver, self._sender = (self._receiver, self._sender), None, None
        for each in sockets:
            if each is not None:
                each.close()

    @property
    def _is_listening(self) -> bool:
        return (
            self._listening is not None and connections[self._alias].connection is self._listening
        )

    def _was_notified(self) -> bool:
        if not self._is_listening:
            return False
        try:
            return bool(list(self._listening.notifies(timeout=0)))
        except Exception:  # noqa: BLE001 - the look that follows reports it
            self._listening = None
            return True

    def _select(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            assert self._receiver is not None
            selector.register(self._receiver, selectors.EVENT_READ)
            if self._is_listening:
                with suppress(Exception):  # it is closed: the next look reports it
                    selector.register(self._listening.fileno(), selectors.EVENT_READ)
            selector.select(seconds)


def _can_wait_for_notifications(connection: Any) -> bool:
    """psycopg 3 can, from 3.2 on; psycopg2 cannot."""
    notifies = getattr(connection, "notifies", None)
    return callable(notifies) and "timeout" in signature(notifies).parameters
