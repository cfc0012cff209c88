"""All shards, for the only relay of a database that several relays cannot share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from django.db import Error as AnyDatabaseError
from django.db import connections

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.relaying.heartbeat import Heartbeat
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.presence import HEARTBEAT_SECONDS
from rele.contrib.outbox.relaying.relay_lock import HeldError, Lock, lock_of
from rele.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

_CONFIRMED_EVERY = 1.0
"""Seconds."""


class SoleOwnership:
    """A lock of the operating system, which a suspended process keeps: there are no leases.

    See :class:`rele.contrib.outbox.relaying.ownership.Ownership`.

    Args:
        alias: of the outbox's database.
        heartbeat: how the relay shows that it is running.
        monotonic: seconds of a clock that is never set.
    """

    wants_to_release: frozenset[int] = frozenset()

    def __init__(
        self,
        alias: str,
        heartbeat: Heartbeat,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alias = alias
        self._monotonic = monotonic
        self._heartbeat = heartbeat
        self._lock: Lock | None = None
        self._confirms_at = self._writes_at = 0.0
        self.name = heartbeat.name
        self.shards: frozenset[int] = frozenset()

    @property
    def next_due(self) -> float:
        return min(self._confirms_at, self._writes_at)

    def begin(self) -> None:
        if self._lock is not None:
            return
        lock = run_statement(self._alias, lambda: lock_of(self._alias))
        self._lock = lock
        try:
            self._confirm()
            self._heartbeat.write(0, None)
            self._heartbeat.delete_all_others()
        except BaseException:
            self._release()
            raise

    def tend(self, sent: int = 0) -> None:
        now = self._monotonic()
        if now >= self._confirms_at:
            self._confirm()
            self._confirms_at = now + _CONFIRMED_EVERY
        if now >= self._writes_at:
            self._writes_at = now + HEARTBEAT_SECONDS
            # Somebody may have locked the database; the relay need not stop for that.
            with suppress(AnyDatabaseError):
                self._heartbeat.write(sent, None)

    def release(self, shards: Collection[int]) -> None:
        """No other relay waits for any."""

    def disconnect(self) -> None:
        with suppress(AnyDatabaseError):
            connections[self._alias].close()

    def end(self) -> None:
        if self._lock is None:
            return
        try:
            self._heartbeat.delete()
        except AnyDatabaseError as error:
            logger.debug("The last heartbeat of %s could not be deleted: %s", self.name, error)
        self._release()

    def _confirm(self) -> None:
        assert self._lock is not None
        try:
            self._lock.hold(self.name)
        except HeldError as error:
            self.shards = frozenset()
            raise ConfigurationError(
                f"The relay {error.holder} is running, and on "
                f"{connections[self._alias].display_name} there can only be one: stop it, or use "
                "PostgreSQL, MySQL or MariaDB."
            ) from None
        self.shards = frozenset(range(SHARDS))

    def _release(self) -> None:
        self.shards = frozenset()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
