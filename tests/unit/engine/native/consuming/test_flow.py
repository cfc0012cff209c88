from __future__ import annotations

from typing import Any

from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.flow import Flow

STEP = 0.125


class VirtualFlow:
    """The limit of a subscription in virtual time."""

    def __init__(self, threads: int = 2, max_messages: int = 1000, **options: Any) -> None:
        self.now = 100.0
        self.flow = Flow(ConsumerOptions(threads, max_messages, **options))
        self.flow.observe(self.now, is_full=False, is_short=False, handed=0, outstanding=0)

    def live(self, seconds: float, *, is_full: bool, handed: int, outstanding: int = 0) -> bool:
        """Let time pass in which nothing changes; return whether streams were to be replaced."""
        resized = False
        until = self.now + seconds
        while self.now < until:
            self.now += STEP
            resized |= self.flow.observe(
                self.now,
                is_full=is_full,
                is_short=False,
                handed=handed,
                outstanding=outstanding,
            )
        return resized

    def limit_with_idle_handlers(self) -> int:
        self.live(1.0, is_full=True, handed=0)
        return self.flow.limit


def test_the_limit_is_small_at_first() -> None:
    assert VirtualFlow(threads=2).flow.limit == 4
    assert VirtualFlow(threads=2, batch_size=500).flow.limit == 500
    assert VirtualFlow(threads=50, max_messages=30).flow.limit == 30


def test_it_doubles_while_it_makes_handlers_wait_up_to_the_most() -> None:
    flow = VirtualFlow()

    limits = [flow.limit_with_idle_handlers() for _ in range(10)]
    assert limits == [8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000]


def test_it_does_not_grow_where_handlers_are_busy() -> None:
    flow = VirtualFlow()

    assert not flow.live(30, is_full=True, handed=4)
    assert flow.flow.limit == 4


def test_it_does_not_grow_where_no_messages_come() -> None:
    flow = VirtualFlow()

    assert not flow.live(30, is_full=False, handed=0)
    assert flow.flow.limit == 4


def test_it_does_not_grow_within_the_first_second() -> None:
    flow = VirtualFlow()

    assert not flow.live(0.875, is_full=True, handed=0)


def test_a_stream_that_has_less_than_its_share_is_replaced_first() -> None:
    flow = VirtualFlow().flow
    times = [100.0, 100.5, 101.1]

    assert [
        flow.observe(now, is_full=True, is_short=True, handed=0, outstanding=0) for now in times
    ][-1]
    assert flow.limit == 4


def test_it_shrinks_where_messages_only_wait() -> None:
    flow = VirtualFlow()
    for _ in range(8):
        flow.limit_with_idle_handlers()

    assert not flow.live(59, is_full=True, handed=1000, outstanding=1000)
    assert flow.live(1, is_full=True, handed=1000, outstanding=1000)
    assert flow.flow.limit == 500


def test_it_shrinks_where_it_is_not_used() -> None:
    flow = VirtualFlow()
    for _ in range(3):
        flow.limit_with_idle_handlers()
    assert flow.flow.limit == 32

    flow.live(190, is_full=False, handed=0)
    assert flow.flow.limit == 4


def test_it_stays_where_it_is_used() -> None:
    flow = VirtualFlow()
    for _ in range(8):
        flow.limit_with_idle_handlers()

    for _ in range(10):
        flow.live(10, is_full=False, handed=900, outstanding=900)
        flow.live(10, is_full=False, handed=100, outstanding=100)
    assert flow.flow.limit == 1000


def test_a_fixed_limit_is_the_most() -> None:
    flow = VirtualFlow(adapts=False)

    assert flow.flow.limit == 1000
    flow.live(200, is_full=False, handed=0)
    assert flow.flow.limit == 1000
