"""Relays that share shards in a virtual time, and a database that answers late."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta, timezone
from typing import TypeVar, cast

from django.db import OperationalError

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.heartbeat import Heartbeat
from rele.contrib.outbox.relaying.ownership import LeasedOwnership
from rele.contrib.outbox.relaying.session_lock import SessionLock
from rele.contrib.outbox.relaying.shard_table import ShardTable
from rele.contrib.outbox.relaying.shares import Lease

T = TypeVar("T")

_EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)

TICK = 0.25
"""Seconds between two turns of a relay."""


class World:
    """A database, the relays that use it, and the time.

    Args:
        lease: seconds.
    """

    def __init__(self, lease: float) -> None:
        self.now = 1000.0
        self.lease = lease
        self.leases = {number: Lease("", _EPOCH) for number in range(SHARDS)}
        self.rows: dict[str, Relay] = {}
        self.held_locks: set[int] = set()
        self.locked_rows: set[int | str] = set()
        """The shards and relays whose rows another transaction has locked."""
        self.relays: list[SimulatedRelay] = []
        self.delays: list[float] = []
        """How long the next statements take, in seconds; later ones take no time."""
        self._numbers = itertools.count(1)

    @property
    def time(self) -> datetime:
        """By the database's clock."""
        return _EPOCH + timedelta(seconds=self.now)

    def start(self, skew: float = 0.0) -> SimulatedRelay:
        """Start a relay that takes the database's clock for so many seconds ahead."""
        relay = SimulatedRelay(self, next(self._numbers), skew)
        self.relays.append(relay)
        relay.turn(begin=True)
        return relay

    def advance(self, seconds: float) -> None:
        """Let time pass, in which each relay has its turns."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + TICK)
            self.check()
            for relay in list(self.relays):
                relay.turn()

    def check(self) -> None:
        """Each shard has at most one relay that relies on it."""
        reliant = [shard for relay in self.relays for shard in relay.shards]
        assert len(reliant) == len(set(reliant)), {
            relay.ownership.name: sorted(relay.shards) for relay in self.relays
        }

    def new_lock(self) -> int:
        number = next(self._numbers)
        self.held_locks.add(number)
        return number

    def pass_time(self) -> None:
        """As a statement or its answer that is under way."""
        if self.delays:
            self.advance(self.delays.pop())


class _KilledError(BaseException):
    """Ends the turn of a relay that was killed in the middle of it."""


class SimulatedRelay:
    """A relay, and its session with the database."""

    def __init__(self, world: World, number: int, skew: float) -> None:
        name = f"relay-{number:03}"
        self.world = world
        self.session = 0
        """Which of its sessions with the database it is in."""
        self._skew = timedelta(seconds=skew)
        self._is_in_turn = False
        self._is_alive = True
        self._resumes_at = 0.0
        self._lock = _Lock(self)
        self.table = _Table(self, name)
        self.ownership = LeasedOwnership(
            world.lease,
            clock=cast("DatabaseClock", self),
            heartbeat=cast("Heartbeat", _Heartbeat(self, name)),
            table=cast("ShardTable", self.table),
            lock=cast("SessionLock", self._lock),
            monotonic=lambda: world.now,
        )

    @property
    def shards(self) -> frozenset[int]:
        """What it would send messages of."""
        return self.ownership.shards

    def turn(self, *, begin: bool = False) -> None:
        """Let it do what is due, unless it waits for the database, is suspended or has ended."""
        if not self._can_run():
            return
        self._is_in_turn = True
        try:
            if begin:
                self.ownership.begin()
            self.ownership.tend()
            if self.ownership.wants_to_release:
                self.ownership.release(self.ownership.wants_to_release)
        except OperationalError:
            self.ownership.disconnect()
        except _KilledError:
            pass
        finally:
            self._is_in_turn = False

    def execute(self, statement: Callable[[], T]) -> T:
        """Run it, some time after it was sent and some time before its answer is there."""
        session = self.session
        self.world.pass_time()
        if self._is_alive and session == self.session:
            result = statement()
            self.world.check()
            self.world.pass_time()
        if not self._is_alive:
            raise _KilledError
        if session != self.session:
            raise OperationalError("the connection was closed")
        return result

    def suspend(self, seconds: float) -> None:
        """As SIGSTOP does; its session with the database stays."""
        self._resumes_at = self.world.now + seconds

    def kill(self) -> None:
        """As SIGKILL does: its session with the database ends."""
        self._lock.end_session()
        self._is_alive = False
        self.world.relays.remove(self)

    def lose_connection(self) -> None:
        """As when the database is restarted; the relay notices it at once."""
        self._lock.end_session()
        self.session += 1
        if self._is_in_turn:
            self.ownership._held.drop_all()  # the statement fails that is under way
        else:
            self.ownership.disconnect()

    def end(self) -> None:
        """Let it end by itself, if it is not in the middle of something."""
        if self._can_run():
            self._is_in_turn = True
            try:
                self.ownership.end()
            except _KilledError:
                return
            if self._is_alive:
                self.kill()

    def now(self) -> datetime:
        """The time by the database's clock, as this relay knows it."""
        return self.world.time + self._skew

    def forget(self) -> None:
        """It measures the database's clock with the same error."""

    def _can_run(self) -> bool:
        return self._is_alive and not self._is_in_turn and self.world.now >= self._resumes_at


class _Table:
    def __init__(self, relay: SimulatedRelay, name: str) -> None:
        self._relay = relay
        self._world = relay.world
        self._name = name

    def fill(self) -> None:
        """It is."""

    def read(self) -> dict[int, Lease]:
        return self._relay.execute(lambda: dict(self._world.leases))

    def take(self, number: int, seen: Lease, until: datetime) -> bool:
        def take() -> bool:
            if self._world.leases[number] != seen or number in self._world.locked_rows:
                return False
            self._world.leases[number] = Lease(self._name, until)
            return True

        return self._relay.execute(take)

    def renew(self, until: datetime) -> None:
        self._set(lambda number: Lease(self._name, until), range(SHARDS))

    def free(self, numbers: Collection[int]) -> None:
        self._set(lambda number: Lease("", self._world.leases[number].expires_at), numbers)

    def _set(self, lease: Callable[[int], Lease], numbers: Collection[int]) -> None:
        def change() -> None:
            for number in numbers:
                is_locked = number in self._world.locked_rows
                if self._world.leases[number].holder == self._name and not is_locked:
                    self._world.leases[number] = lease(number)

        self._relay.execute(change)


class _Heartbeat:
    def __init__(self, relay: SimulatedRelay, name: str) -> None:
        self._relay = relay
        self._world = relay.world
        self.name = name

    def write(self, sent: int, session_lock: int | None) -> bool:
        seen_at = self._relay.now()  # before the statement arrives
        row = Relay(name=self.name, seen_at=seen_at, session_lock=session_lock)

        def write() -> bool:
            if self.name not in self._world.locked_rows:
                self._world.rows[self.name] = row
            return self._world.rows[self.name].session_lock == session_lock

        return self._relay.execute(write)

    def forget_session_lock(self) -> bool:
        raise AssertionError("each session is real")

    def read_all(self) -> list[Relay]:
        return self._relay.execute(lambda: list(self._world.rows.values()))

    def delete(self) -> None:
        if self.name not in self._world.locked_rows:
            self._relay.execute(lambda: self._world.rows.pop(self.name, None))

    def delete_former(self, relays: Iterable[Relay]) -> None:
        former = list(relays)

        def delete() -> None:
            for relay in former:
                row = self._world.rows.get(relay.name)
                is_locked = relay.name in self._world.locked_rows
                if row is not None and row.seen_at == relay.seen_at and not is_locked:
                    del self._world.rows[relay.name]

        if former:
            self._relay.execute(delete)


class _Lock:
    def __init__(self, relay: SimulatedRelay) -> None:
        self._relay = relay
        self._world = relay.world
        self.number: int | None = None

    def renew(self) -> bool:
        if self.number is not None:
            return False
        self.number = self._relay.execute(self._world.new_lock)
        return True

    def free_among(self, numbers: Collection[int]) -> frozenset[int]:
        return self._relay.execute(lambda: frozenset(set(numbers) - self._world.held_locks))

    def leave_session(self) -> None:
        self.end_session()

    def close_connection(self) -> None:
        self.number = None

    def end_session(self) -> None:
        if self.number is not None:
            self._world.held_locks.discard(self.number)
