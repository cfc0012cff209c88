"""Which shards a relay holds: taken, renewed and released in the table ``Shard``.

Each step is a single statement, which commits by itself. What is to be done is decided in
``shares.py``.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Protocol

from django.db import Error as AnyDatabaseError
from django.db import connections

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.heartbeat import Heartbeat
from rele.contrib.outbox.relaying.presence import GONE_AFTER, HEARTBEAT_SECONDS
from rele.contrib.outbox.relaying.session_lock import SessionLock
from rele.contrib.outbox.relaying.shard_table import ShardTable
from rele.contrib.outbox.relaying.shares import HeldShards, Lease, View
from rele.contrib.outbox.relaying.sole_ownership import SoleOwnership

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""The interval at which a relay looks for shards that it may take or should release."""

_FORGOTTEN_AFTER = timedelta(days=1)
"""When the row of a relay is deleted that was killed, where only its leases tell so."""


class Ownership(Protocol):
    """The shards of one relay, from :meth:`begin` to :meth:`end`.

    It is used in one thread at a time, on that thread's connection. After it has moved to another
    thread, call :meth:`tend` before anything else.
    """

    @property
    def name(self) -> str:
        """The relay's name, ``host:random part:process id``."""

    @property
    def shards(self) -> frozenset[int]:
        """Those that are certainly the relay's now; to be asked before each request."""

    @property
    def wants_to_release(self) -> frozenset[int]:
        """Those for a relay that has fewer: stop sending of them, settle, then release them."""

    @property
    def next_due(self) -> float:
        """When :meth:`tend` has something to do, in monotonic seconds."""

    def begin(self) -> None:
        """Let others know of this relay, and take its first shards.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            OutboxError: whether another one is running cannot be found out.
            django.db.Error: the database cannot be used.
        """

    def tend(self, sent: int = 0) -> None:
        """Renew the leases, and take what is free, as far as that is due. Call it often.

        A shard that is lost is never taken again by the same call.

        Args:
            sent: how many messages the relay has sent since its beginning.

        Raises:
            ConfigurationError: another relay is running, on a database that they cannot share.
            django.db.Error: the database cannot be used. Leases are not relied on until a later
                call has renewed them.
        """

    def release(self, shards: Collection[int]) -> None:
        """Let others take shards whose messages are settled.

        Raises:
            django.db.Error: the database cannot be used. The shards are not relied on any more.
        """

    def disconnect(self) -> None:
        """Close the connection. Leases are not relied on until :meth:`tend` has renewed them.

        The session lock and LISTEN end before that, since a pool gives the connection to others.
        """

    def end(self) -> None:
        """Let others take all shards, and delete what they know of this relay."""


def ownership_of(
    alias: str,
    lease_seconds: float,
    clock: DatabaseClock,
    monotonic: Callable[[], float] = time.monotonic,
) -> Ownership:
    """The ownership of a new relay.

    Args:
        alias: of the outbox's database.
        lease_seconds: after which others may take the shards of a relay that does not renew them.
        clock: the database's.
        monotonic: seconds of a clock that is never set.
    """
    heartbeat = Heartbeat(alias, clock, monotonic)
    if connections[alias].vendor == "sqlite":
        return SoleOwnership(alias, heartbeat, monotonic)
    table = ShardTable(alias, heartbeat.name)
    return LeasedOwnership(lease_seconds, clock, heartbeat, table, SessionLock(alias), monotonic)


class LeasedOwnership:
    """Shards that relays share by leases in the database: see :class:`Ownership`.

    Args:
        lease_seconds: how long a lease lasts.
        clock: the database's.
        heartbeat: how the relay shows that it is running.
        table: of the shards.
        lock: of the relay's session.
        monotonic: seconds of a clock that is never set.
    """

    def __init__(
        self,
        lease_seconds: float,
        clock: DatabaseClock,
        heartbeat: Heartbeat,
        table: ShardTable,
        lock: SessionLock,
        monotonic: Callable[[], float],
    ) -> None:
        self._lease = timedelta(seconds=lease_seconds)
        self._renewed_every = min(lease_seconds / 3, HEARTBEAT_SECONDS)
        self._gone_after = min(self._lease, GONE_AFTER)
        self._clock = clock
        self._heartbeat = heartbeat
        self._table = table
        self._lock = lock
        self._monotonic = monotonic
        self._held = HeldShards(lease_seconds)
        self._has_begun = False
        self._renews_at = self._looks_at = 0.0
        self.name = heartbeat.name
        self.wants_to_release: frozenset[int] = frozenset()

    @property
    def shards(self) -> frozenset[int]:
        return self._held.valid_at(self._monotonic())

    @property
    def next_due(self) -> float:
        return min(self._renews_at, self._looks_at)

    def begin(self) -> None:
        if self._has_begun:
            return
        self._table.fill()
        self._has_begun = True
        self._forget_leases()
        self.tend()

    def tend(self, sent: int = 0) -> None:
        started = self._monotonic()
        if started < self.next_due:
            return
        try:
            self._tend(started, sent)
        except BaseException:
            self._forget_leases()
            raise

    def release(self, shards: Collection[int]) -> None:
        self._held.drop(shards)
        self.wants_to_release -= frozenset(shards)
        self._table.free(shards)

    def disconnect(self) -> None:
        self._forget_leases()
        self._lock.close_connection()
        self._clock.forget()

    def end(self) -> None:
        if not self._has_begun:
            return
        self._has_begun = False
        self._forget_leases()
        try:
            self._table.free(range(SHARDS))
            self._heartbeat.delete()
            self._lock.leave_session()
        except AnyDatabaseError as error:
            # Others take them when the session or the leases have ended.
            logger.debug("The shards of %s could not be released: %s", self.name, error)

    def _tend(self, started: float, sent: int) -> None:
        # The lock first, then the leases: see _look().
        until = None
        if self._lock.renew() or started >= self._renews_at:
            if not self._heartbeat.write(sent, self._lock.number):
                self._rely_on_nothing(started)
                return
            until = self._clock.now() + self._lease
            self._table.renew(until)
        view = self._look()
        if view is None:
            self._rely_on_nothing(started)
            return
        lost = self._held.keep_only(view.held_by(self.name))
        if until is not None:
            self._extend(view, until, started)
        self._looks_at = started + LOOK_SECONDS
        self._take(view, lost)
        self.wants_to_release = self._held.surplus(view.share_of(self.name))

    def _extend(self, view: View, until: datetime, started: float) -> None:
        """Rely on the leases that were renewed: all but those whose rows others have locked."""
        mine = view.held_by(self.name)
        renewed = [shard for shard in mine if view.leases[shard].expires_at >= until]
        self._held.extend(renewed, started)
        has_all = len(renewed) == len(mine)
        self._renews_at = started + (self._renewed_every if has_all else LOOK_SECONDS)

    def _rely_on_nothing(self, started: float) -> None:
        """Wait until others can see which session lock is this relay's.

        Another transaction has locked its row, where others read of a session that has ended. So
        they take its shards.
        """
        self._forget_leases()
        self._renews_at = self._looks_at = started + LOOK_SECONDS

    def _look(self) -> View | None:
        """Read in the opposite order to that in which a relay writes.

        A relay that has a new session writes down its new lock, and then renews its leases. So
        either the new lock is seen here, or the leases have changed by the time they are taken.

        Returns:
            ``None`` if others see a lock of this relay that is none any more.
        """
        leases = self._table.read()
        relays = self._heartbeat.read_all()
        before = self._lock.number
        gone = self._those_gone(relays)
        if self._lock.number != before and not self._heartbeat.forget_session_lock():
            return None
        now = self._clock.now()
        names = {relay.name for relay in gone}
        holders = {lease.holder for lease in leases.values()}
        long_ago = now - _FORGOTTEN_AFTER
        self._heartbeat.delete_former(
            relay
            for relay in relays
            if relay.name not in holders and (relay.name in names or relay.seen_at < long_ago)
        )
        live = {relay.name for relay in relays if relay.seen_at > now - self._gone_after}
        return View(now, leases, (live - names) | {self.name}, names)

    def _those_gone(self, relays: Collection[Relay]) -> list[Relay]:
        """The other relays whose session has ended."""
        locks = {
            relay.session_lock: relay
            for relay in relays
            if relay.session_lock is not None and relay.name != self.name
        }
        return [locks[number] for number in self._lock.free_among(locks.keys())]

    def _take(self, view: View, lost: Collection[int]) -> None:
        """Take shards until this relay has its share."""
        missing = view.share_of(self.name) - len(view.held_by(self.name))
        silent: defaultdict[str, int] = defaultdict(int)
        for shard in view.free_for(self.name):
            lease = view.leases[shard]
            if missing > 0 and shard not in lost and self._take_one(shard, lease):
                missing -= 1
                if lease.holder and lease.holder not in view.gone:
                    silent[lease.holder] += 1
        for holder, number in silent.items():
            logger.warning(
                "The leases of the relay %s on %d shard(s) have ended, and this relay has taken "
                "them. The other one was killed, or has stood still: in a hook for example. What "
                "it has sent and not written down is sent again.",
                holder,
                number,
            )

    def _take_one(self, shard: int, seen: Lease) -> bool:
        """Take a shard if its lease is the one that was seen; return whether it was."""
        started = self._monotonic()
        is_taken = self._table.take(shard, seen, self._clock.now() + self._lease)
        if is_taken:
            self._held.extend([shard], started)
        return is_taken

    def _forget_leases(self) -> None:
        self._held.drop_all()
        self.wants_to_release = frozenset()
        self._renews_at = self._looks_at = 0.0
