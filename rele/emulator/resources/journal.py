"""The journal of resources: what a durable server keeps; this one keeps nothing.

Everything here returns at once: what is reported is on disk later, and ``Journal.committed``
waits for that.
"""

import enum
from collections.abc import Callable
from typing import Any

from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.rules.refusals import ServiceError


class Kind(enum.IntEnum):
    """What can be kept by name. The numbers are those in the database."""

    TOPIC = 1
    SUBSCRIPTION = 2
    SNAPSHOT = 3


class Journal:
    """Where changes of the server's resources are reported. This one keeps nothing."""

    def put(self, kind: Kind, name: str, config: Any, filter_text: str = "") -> None:
        """Note a new resource, or a new configuration (a protobuf message) of a known one."""

    def delete(self, kind: Kind, name: str) -> None:
        """Forget a resource and its ledgers."""

    def ledger(self, kind: Kind, name: str) -> Ledger:
        """What a subscription has not acknowledged, or what a snapshot has."""
        return NO_LEDGER

    def log(self, kind: Kind, name: str) -> Ledger:
        """What a topic or subscription retains."""
        return NO_LEDGER

    def check(self) -> None:
        """Raise the ``ServiceError`` that every change is refused with, if there is one."""

    def after_commit(self, done: Callable[[ServiceError | None], None]) -> None:
        """Call ``done`` when all that was reported is on disk, or with why it is not."""
        done(None)

    @property
    def damaged(self) -> int:
        """How much of what was kept is damaged, and was set aside."""
        return 0

    @property
    def settled(self) -> bool:
        """Whether all that was reported is on disk."""
        return True

    async def committed(self) -> None:
        """Wait until all that was reported is on disk. Raises the reason if it cannot be."""

    async def close(self) -> None:
        """Write what was reported, and stop."""


NO_JOURNAL = Journal()
