"""Periodic removal of what has expired."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry

_PERIOD_SECONDS = 30.0


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> object: ...


CallLater: TypeAlias = Callable[[float, Callable[[], None]], Timer]
"""Schedules a call, in a number of seconds."""


class Housekeeping:
    """Drops what is older than its retention: messages, snapshots, unused subscriptions.

    The shortest retention is 10 minutes, so that twice a minute is often enough. ``period`` is
    in seconds.
    """

    def __init__(
        self,
        call_later: CallLater,
        registry: Registry,
        snapshots: SnapshotRegistry,
        period: float = _PERIOD_SECONDS,
    ) -> None:
        self._period = period
        self._call_later = call_later
        self._registry = registry
        self._snapshots = snapshots
        self._handle: Timer | None = None

    def start(self) -> None:
        """Do it after each period until ``stop``."""
        self._handle = self._call_later(self._period, self._run)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _run(self) -> None:
        self.start()
        self._registry.sweep()
        self._snapshots.sweep()
