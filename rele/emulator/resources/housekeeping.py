"""What has to be done from time to time, asked for or not."""

import asyncio

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry

_PERIOD_SECONDS = 30.0


class Housekeeping:
    """Drops what is older than its retention: messages, snapshots, unused subscriptions.

    The shortest retention is 10 minutes, so that twice a minute is often enough; ``period`` is
    in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        registry: Registry,
        snapshots: SnapshotRegistry,
        period: float = _PERIOD_SECONDS,
    ) -> None:
        self._period = period
        self._loop = loop
        self._registry = registry
        self._snapshots = snapshots
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Do it after each period until ``stop``."""
        self._handle = self._loop.call_later(self._period, self._run)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        self.start()
        self._registry.sweep()
        self._snapshots.sweep()
