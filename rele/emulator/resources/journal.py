"""The interface for keeping resources on disk, and the journal of a server without a disk.

All methods but ``committed`` and ``close`` return at once. Reported changes are on disk later:
``Journal.committed`` waits until they are.
"""

import enum
from collections.abc import Callable
from typing import Any

from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.rules.refusals import ServiceError


class Kind(enum.IntEnum):
    """The kinds of resources. The numbers are stored in the database."""

    TOPIC = 1
    SUBSCRIPTION = 2
    SNAPSHOT = 3


class Journal:
    """Where changes of the server's resources are reported. This class keeps nothing."""

    def put(self, kind: Kind, name: str, config: Any, filter_text: str = "") -> None:
        """Note a new resource, or a new configuration (a protobuf message) of a known one."""

    def delete(self, kind: Kind, name: str) -> None:
        """Forget a resource and its ledgers."""

    def ledger(self, kind: Kind, name: str) -> Ledger:
        """The unacknowledged messages of a subscription, or the messages of a snapshot."""
        return NO_LEDGER

    def log(self, kind: Kind, name: str) -> Ledger:
        """The retained messages of a topic or subscription."""
        return NO_LEDGER

    def check(self) -> None:
        """Raise a ``ServiceError`` if changes are refused at the moment."""

    def after_commit(self, done: Callable[[ServiceError | None], None]) -> None:
        """Call ``done`` when all reported changes are on disk, or with the error if that fails."""
        done(None)

    @property
    def damaged(self) -> int:
        """How many stored records are damaged, and were set aside."""
        return 0

    @property
    def settled(self) -> bool:
        """Whether all reported changes are on disk."""
        return True

    async def committed(self) -> None:
        """Wait until all reported changes are on disk; raise an error if writing fails."""

    async def close(self) -> None:
        """Write all reported changes, and stop."""


NO_JOURNAL = Journal()
