"""Which shards a relay holds, may take, and should release. Nothing here has a clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rele.contrib.outbox.lanes import SHARDS

_CERTAIN = 0.9
"""The part of a lease in which its holder relies on it; the rest is for clocks that differ."""


@dataclass(frozen=True)
class Lease:
    """What the table says of a shard."""

    holder: str
    """The name of a relay, or ``""``."""
    expires_at: datetime


@dataclass(frozen=True)
class View:
    """What a relay has read: the shards first, then the relays, then whose session is there."""

    now: datetime
    leases: Mapping[int, Lease]
    """By shard."""
    live: Collection[str]
    """The names of the relays that run, this one among them."""
    gone: Collection[str] = ()
    """The names of relays whose session with the database has ended."""

    def held_by(self, name: str) -> frozenset[int]:
        """The shards of which a relay is the holder, whether or not its lease is over."""
        return frozenset(shard for shard, lease in self.leases.items() if lease.holder == name)

    def free_for(self, name: str) -> list[int]:
        """The shards that a relay may take from others, in the order in which it should try.

        Each relay begins elsewhere, so that they seldom try for the same.
        """
        free = [shard for shard, lease in self.leases.items() if self._is_free(lease, name)]
        first = _rank(name, self.live) * SHARDS // len(self.live)
        return sorted(free, key=lambda shard: (shard - first) % SHARDS)

    def share_of(self, name: str) -> int:
        """How many shards a relay should hold. The shares of all that are live make ``SHARDS``."""
        each, rest = divmod(SHARDS, len(self.live))
        return each + (_rank(name, self.live) < rest)

    def _is_free(self, lease: Lease, name: str) -> bool:
        if lease.holder == name:
            return False
        return not lease.holder or lease.holder in self.gone or lease.expires_at <= self.now


def _rank(name: str, names: Iterable[str]) -> int:
    return sum(other < name for other in names)


@dataclass
class HeldShards:
    """The shards that a relay holds, and until when it may rely on each.

    Args:
        lease: seconds that a lease lasts.
    """

    lease: float
    _until: dict[int, float] = field(default_factory=dict)

    def valid_at(self, now: float) -> frozenset[int]:
        """Those whose lease is certainly valid at ``now``, in monotonic seconds."""
        # Of a copy, since the status of the process is asked in another thread.
        return frozenset(shard for shard, until in list(self._until.items()) if now < until)

    def extend(self, shards: Iterable[int], started: float) -> None:
        """Note that leases were taken or renewed by a statement that began at ``started``."""
        for shard in shards:
            self._until[shard] = started + self.lease * _CERTAIN

    def keep_only(self, shards: Collection[int]) -> frozenset[int]:
        """Note which are still held, and return those that were lost."""
        lost = frozenset(self._until.keys() - set(shards))
        self.drop(lost)
        return lost

    def drop(self, shards: Iterable[int]) -> None:
        """Note that these are no longer held."""
        for shard in shards:
            self._until.pop(shard, None)

    def drop_all(self) -> None:
        """Note that none can be relied on until it is renewed."""
        self._until.clear()

    def surplus(self, share: int) -> frozenset[int]:
        """Those to release, so that ``share`` remain: the last ones."""
        return frozenset(sorted(self._until)[share:])
