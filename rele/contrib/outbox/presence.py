"""Which relays are at work, as the database knows it."""

from __future__ import annotations

import logging
import os
import socket
import threading
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.utils import timezone

from rele.contrib.outbox.claiming import can_share
from rele.contrib.outbox.models import Relay
from rele.databases import close_connections
from rele.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

SIGN_OF_LIFE_SECONDS = 5.0
"""Between two signs of a relay."""

GONE_AFTER = timedelta(seconds=3 * SIGN_OF_LIFE_SECONDS)
"""Without a sign for so long, a relay counts as gone."""

_FORGOTTEN_AFTER = timedelta(days=1)
"""Those that were killed leave their names behind."""

_END_SECONDS = 1.0


def own_name() -> str:
    """The name of this process as a relay."""
    return f"{socket.gethostname()}:{os.getpid()}"


def present_relays(alias: str) -> list[str]:
    """The names of the relays that have given a sign of life lately."""
    since = timezone.now() - GONE_AFTER
    relays = Relay.objects.using(alias).filter(seen_at__gt=since).order_by("name")
    return list(relays.values_list("name", flat=True))


class Presence:
    """Tells the others that this process is a relay, from :meth:`begin` to :meth:`end`.

    Args:
        alias: of the outbox's database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._name = own_name()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, *, lasting: bool) -> None:
        """Give a sign of life, and where it is ``lasting``, others until the end.

        Raises:
            ConfigurationError: another relay is at work, on a database that they cannot share.
            django.db.Error: the database cannot be used.
        """
        if self._thread is not None:
            return
        with transaction.atomic(using=self._alias):
            # First: where only one can be, this lets another that begins wait until it is written.
            self._give_sign()
            if not can_share(self._alias):
                self._refuse_to_be_the_second()
            self._forget_the_long_gone()
        if lasting:
            # A thread has a connection of its own: the relay's may be in a transaction for long.
            self._thread = threading.Thread(
                target=self._give_signs, name="rele-outbox-presence", daemon=True
            )
            self._thread.start()

    def end(self) -> None:
        """Be no relay any more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
        try:
            Relay.objects.using(self._alias).filter(name=self._name).delete()
        except AnyDatabaseError:
            logger.debug("The last sign of life of %s stays: the database is away.", self._name)

    def _refuse_to_be_the_second(self) -> None:
        others = [name for name in present_relays(self._alias) if name != self._name]
        if others:
            raise ConfigurationError(
                f"The relay {others[0]} is at work, and on "
                f"{connections[self._alias].display_name} there can only be one: stop it, or use "
                f"PostgreSQL. Was it killed? It counts as gone {GONE_AFTER.seconds} s later."
            )

    def _forget_the_long_gone(self) -> None:
        long_ago = timezone.now() - _FORGOTTEN_AFTER
        Relay.objects.using(self._alias).filter(seen_at__lt=long_ago).delete()

    def _give_sign(self) -> None:
        now = timezone.now()
        relays = Relay.objects.using(self._alias)
        if not relays.filter(name=self._name).update(seen_at=now):
            relays.get_or_create(name=self._name, defaults={"seen_at": now})

    def _give_signs(self) -> None:
        while not self._ended.wait(SIGN_OF_LIFE_SECONDS):
            try:
                self._give_sign()
            except AnyDatabaseError as error:
                logger.debug("No sign of life from %s: %s", self._name, error)
                close_connections()
        close_connections()
