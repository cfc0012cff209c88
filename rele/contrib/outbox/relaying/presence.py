"""Which relays are running, as their database shows, and the refusal of a second one."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.utils import timezone

from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.claiming import can_share
from rele.contrib.outbox.relaying.relay_lock import HeldError, Lock, lock_of
from rele.exceptions import ConfigurationError
from rele.management.databases import close_connections

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
"""The interval between two heartbeats of a relay."""

GONE_AFTER = timedelta(seconds=3 * HEARTBEAT_SECONDS)
"""A relay without a heartbeat for so long is no longer taken for running."""

_FORGOTTEN_AFTER = timedelta(days=1)
"""When the name of a relay is deleted that was killed."""

_END_SECONDS = 1.0


def new_name() -> str:
    """A name for a relay of this process, ``host:random part:process id``.

    The random part is needed: two containers may have the same host name and process id, and a
    process may have two relays.
    """
    return f"{socket.gethostname()}:{secrets.token_hex(4)}:{os.getpid()}"


def present_relays(alias: str) -> list[str]:
    """The names of the relays that had a heartbeat lately."""
    since = timezone.now() - GONE_AFTER
    relays = Relay.objects.using(alias).filter(seen_at__gt=since).order_by("name")
    return list(relays.values_list("name", flat=True))


class Presence:
    """Shows others that this relay is running, from :meth:`begin` to :meth:`end`.

    Args:
        alias: of the outbox's database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self.name = new_name()
        self._is_alone = False
        self._lock: Lock | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Write a heartbeat, and further ones until the end.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: whether another one is running cannot be found out.
            django.db.Error: the database cannot be used.
        """
        if self._thread is not None:
            return
        self._is_alone = not can_share(self._alias)
        if self._is_alone:
            self._lock = lock_of(self._alias)
        try:
            self.confirm()
            self._announce()
        except BaseException:
            self._release()
            raise
        # A thread with its own connection: the relay's may be in a long transaction.
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._write_heartbeats,
            args=(self._ended,),
            name="rele-outbox-presence",
            daemon=True,
        )
        self._thread.start()

    def confirm(self) -> None:
        """Return if this is the only relay, or may be one of several.

        Raises:
            ConfigurationError: another relay is running.
            django.db.Error: the database server, which has the lock, cannot be asked.
        """
        if self._lock is None:
            return
        try:
            self._lock.hold(self.name)
        except HeldError as error:
            # A server's lock has no name; whoever had the latest heartbeat must be the holder.
            raise ConfigurationError(self._refusal(error.holder or self._last_seen())) from None

    def end(self) -> None:
        """Show that the relay has ended."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
            self._thread = None
        try:
            Relay.objects.using(self._alias).filter(name=self.name).delete()
        except AnyDatabaseError:
            logger.debug(
                "The last heartbeat of %s could not be deleted: the database is unavailable.",
                self.name,
            )
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _announce(self) -> None:
        with transaction.atomic(using=self._alias):
            # First: if there is no lock, another relay that begins waits for this transaction.
            self._write_heartbeat()
            if self._is_alone and self._lock is None:
                self._refuse_a_second_relay()
            self._delete_former_relays()

    def _refuse_a_second_relay(self) -> None:
        """Judge by the heartbeats alone, on a database without a lock."""
        if other := self._last_seen():
            raise ConfigurationError(
                f"{self._refusal(other)} If it was killed, wait {GONE_AFTER.seconds} s."
            )

    def _refusal(self, other: str) -> str:
        return (
            f"{f'The relay {other}' if other else 'Another relay'} is running, and on "
            f"{connections[self._alias].display_name} there can only be one: stop it, or use "
            "PostgreSQL."
        )

    def _last_seen(self) -> str:
        """The name of another relay that had a heartbeat lately, or ``""``."""
        since = timezone.now() - GONE_AFTER
        others = Relay.objects.using(self._alias).filter(seen_at__gt=since).exclude(name=self.name)
        return others.order_by("-seen_at").values_list("name", flat=True).first() or ""

    def _delete_former_relays(self) -> None:
        relays = Relay.objects.using(self._alias).exclude(name=self.name)
        if self._lock is None:
            relays = relays.filter(seen_at__lt=timezone.now() - _FORGOTTEN_AFTER)
        relays.delete()

    def _write_heartbeat(self) -> None:
        now = timezone.now()
        relays = Relay.objects.using(self._alias)
        # The update first: SQLite refuses a transaction that writes after it has read.
        if not relays.filter(name=self.name).update(seen_at=now):
            relays.create(name=self.name, seen_at=now)

    def _write_heartbeats(self, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            try:
                self._write_heartbeat()
            except AnyDatabaseError as error:
                logger.debug("The heartbeat of %s failed: %s", self.name, error)
                close_connections()
        close_connections()
