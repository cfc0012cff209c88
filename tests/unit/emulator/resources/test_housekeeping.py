"""What is done from time to time."""

from __future__ import annotations

from collections.abc import Callable

from rele.emulator.resources.housekeeping import Housekeeping
from rele.emulator.resources.registry import Registry
from rele.emulator.resources.snapshots import SnapshotRegistry


class Timers:
    """The timers of a loop whose time only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.set: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, action: Callable[[], None]) -> Handle:
        timer = (self.now + delay, action)
        self.set.append(timer)
        return Handle(lambda: self.set.remove(timer))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.set if timer[0] <= end]:
            timer = min(due, key=lambda each: each[0])
            self.set.remove(timer)
            self.now, action = timer
            action()
        self.now = end


class Handle:
    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def test_it_is_done_once_a_period_until_it_is_stopped() -> None:
    timers = Timers()
    registry = Registry(lambda ordered, ledger: NotImplemented)
    swept: list[float] = []
    registry.sweep = lambda: swept.append(timers.now)  # type: ignore[method-assign]
    housekeeping = Housekeeping(timers.call_later, registry, SnapshotRegistry(registry), period=30)
    housekeeping.start()
    timers.pass_time(95)
    assert swept == [30, 60, 90]

    housekeeping.stop()
    timers.pass_time(1000)
    assert swept == [30, 60, 90]
