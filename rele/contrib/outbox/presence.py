"""Which relays are at work, as the database knows it, and being the only one where that must be."""

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

from rele.contrib.outbox.claiming import can_share
from rele.contrib.outbox.exclusion import HeldError, Lock, lock_of
from rele.contrib.outbox.models import Relay
from rele.exceptions import ConfigurationError
from rele.management.databases import close_connections

logger = logging.getLogger(__name__)

SIGN_OF_LIFE_SECONDS = 5.0
"""Between two signs of a relay."""

GONE_AFTER = timedelta(seconds=3 * SIGN_OF_LIFE_SECONDS)
"""Without a sign for so long, a relay counts as gone."""

_FORGOTTEN_AFTER = timedelta(days=1)
"""Those that were killed leave their names behind."""

_END_SECONDS = 1.0


def new_name() -> str:
    """A name for a relay of this process, ``host:random part:process id``.

    Containers may have one host name and process id, and a process may have two relays.
    """
    return f"{socket.gethostname()}:{secrets.token_hex(4)}:{os.getpid()}"


def present_relays(alias: str) -> list[str]:
    """The names of the relays that have given a sign of life lately."""
    since = timezone.now() - GONE_AFTER
    relays = Relay.objects.using(alias).filter(seen_at__gt=since).order_by("name")
    return list(relays.values_list("name", flat=True))


class Presence:
    """Tells the others that this is a relay, from :meth:`begin` to :meth:`end`.

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
        """Give a sign of life, and others until the end.

        Raises:
            ConfigurationError: another relay is at work, on a database that they cannot share.
            OutboxError: whether there is one cannot be found out.
            django.db.Error: the database cannot be used.
        """
        if self._thread is not None:
            return
        self._is_alone = not can_share(self._alias)
        if self._is_alone:
            self._lock = lock_of(self._alias)
        try:
            self.confirm()
            self._write_down()
        except BaseException:
            self._release()
            raise
        # A thread has a connection of its own: the relay's may be in a transaction for long.
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._give_signs, args=(self._ended,), name="rele-outbox-presence", daemon=True
        )
        self._thread.start()

    def confirm(self) -> None:
        """Return if this is the only relay, where only one can be.

        Raises:
            ConfigurationError: another relay is at work.
            django.db.Error: the database's server, which knows, cannot be asked.
        """
        if self._lock is None:
            return
        try:
            self._lock.hold(self.name)
        except HeldError as error:
            # A server's lock has no name: of those that were killed, none has been seen later.
            raise ConfigurationError(self._refusal(error.holder or self._last_seen())) from None

    def end(self) -> None:
        """Be no relay any more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
            self._thread = None
        try:
            Relay.objects.using(self._alias).filter(name=self.name).delete()
        except AnyDatabaseError:
            logger.debug("The last sign of life of %s stays: the database is away.", self.name)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _write_down(self) -> None:
        with transaction.atomic(using=self._alias):
            # First: where no lock is known, this lets another that begins wait until it is written.
            self._give_sign()
            if self._is_alone and self._lock is None:
                self._refuse_to_be_the_second()
            self._forget_those_who_are_gone()

    def _refuse_to_be_the_second(self) -> None:
        """By the signs of life alone, on a database of which no lock is known."""
        if other := self._last_seen():
            raise ConfigurationError(
                f"{self._refusal(other)} Was it killed? It counts as gone {GONE_AFTER.seconds} s "
                "later."
            )

    def _refusal(self, other: str) -> str:
        return (
            f"{f'The relay {other}' if other else 'Another relay'} is at work, and on "
            f"{connections[self._alias].display_name} there can only be one: stop it, or use "
            "PostgreSQL."
        )

    def _last_seen(self) -> str:
        """The name of another that has given a sign lately, or ``""``."""
        since = timezone.now() - GONE_AFTER
        others = Relay.objects.using(self._alias).filter(seen_at__gt=since).exclude(name=self.name)
        return others.order_by("-seen_at").values_list("name", flat=True).first() or ""

    def _forget_those_who_are_gone(self) -> None:
        relays = Relay.objects.using(self._alias).exclude(name=self.name)
        if self._lock is None:
            relays = relays.filter(seen_at__lt=timezone.now() - _FORGOTTEN_AFTER)
        relays.delete()

    def _give_sign(self) -> None:
        now = timezone.now()
        relays = Relay.objects.using(self._alias)
        # First what writes: SQLite refuses a transaction that begins to write after it has read.
        if not relays.filter(name=self.name).update(seen_at=now):
            relays.create(name=self.name, seen_at=now)

    def _give_signs(self, ended: threading.Event) -> None:
        while not ended.wait(SIGN_OF_LIFE_SECONDS):
            try:
                self._give_sign()
            except AnyDatabaseError as error:
                logger.debug("No sign of life from %s: %s", self.name, error)
                close_connections()
        close_connections()
