"""The table ``Shard``: each function is a single statement, which commits by itself."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet

from rele.contrib.outbox.lanes import SHARDS
from rele.contrib.outbox.models import Shard
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.shares import Lease


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
        """Take a shard if its lease is still the one that was seen; return whether it was."""
        unchanged = self._shards().filter(
            number=number, holder=seen.holder, expires_at=seen.expires_at
        )
        lease = {"holder": self._name, "expires_at": until}
        return bool(run_statement(self._alias, lambda: unchanged.update(**lease)))

    def renew(self, until: datetime) -> None:
        """Extend the leases of all shards that this relay has, ended or not."""
        own = self._shards().filter(holder=self._name)
        run_statement(self._alias, lambda: own.update(expires_at=until))

    def free(self, numbers: Collection[int]) -> None:
        """Let others take those of the shards that this relay has."""
        own = self._shards().filter(holder=self._name, number__in=list(numbers))
        run_statement(self._alias, lambda: own.update(holder=""))

    def _shards(self) -> QuerySet[Shard]:
        return Shard.objects.using(self._alias)
