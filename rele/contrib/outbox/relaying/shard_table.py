"""The table ``Shard``: each statement commits by itself, and waits for no lock of a row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Shard
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.shares import Lease
from rele.contrib.outbox.relaying.unlocked import count_changed


class ShardTable:
    """The shards of an outbox, for one relay.

    Args:
        alias: of the database.
        name: the relay's.
    """

    def __init__(self, alias: str, name: str) -> None:
        self._alias = alias
        self._name = name

    def fill(self) -> None:
        """Let there be a row for each shard."""
        if run_statement(self._alias, self._shards().count) < SHARDS:
            rows = [Shard(number=number) for number in range(SHARDS)]
            create = self._shards().bulk_create
            run_statement(self._alias, lambda: create(rows, ignore_conflicts=True))

    def read(self) -> dict[int, Lease]:
        """The leases by shard."""
        return run_statement(
            self._alias,
            lambda: {row.number: Lease(row.holder, row.expires_at) for row in self._shards()},
        )

    def take(self, number: int, seen: Lease, until: datetime) -> bool:
        """Take a shard if its lease is still the one that was seen; return whether it was.

        It is not, either, while another transaction has locked the row.
        """
        unchanged = self._shards().filter(
            number=number, holder=seen.holder, expires_at=seen.expires_at
        )
        lease = {"holder": self._name, "expires_at": until}
        return bool(count_changed(unchanged, [number], lambda row: row.update(**lease)))

    def renew(self, until: datetime) -> None:
        """Extend the leases of all shards that this relay has, ended or not.

        Those stay as they are whose rows other transactions have locked: :meth:`read` shows it.
        """
        own = self._shards().filter(holder=self._name)
        count_changed(own, range(SHARDS), lambda rows: rows.update(expires_at=until))

    def free(self, numbers: Collection[int]) -> None:
        """Let others take those of the shards that this relay has, and nobody has locked."""
        own = self._shards().filter(holder=self._name)
        count_changed(own, list(numbers), lambda rows: rows.update(holder=""))

    def _shards(self) -> QuerySet[Shard]:
        return Shard.objects.using(self._alias)
