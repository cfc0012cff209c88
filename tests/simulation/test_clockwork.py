from __future__ import annotations

from random import Random

import pytest

from tests.simulation.clockwork import Clockwork, EndlessLoopError


@pytest.fixture
def clockwork() -> Clockwork:
    return Clockwork(Random(1))


def test_what_is_due_is_called_in_order_at_its_time(clockwork: Clockwork) -> None:
    called: list[tuple[str, float]] = []
    for name, at in (("second", 20.0), ("first", 10.0), ("never", 70.0)):
        clockwork.at(at, lambda name=name: called.append((name, clockwork.now)))

    clockwork.run(60.0)

    assert called == [("first", 10.0), ("second", 20.0)]
    assert clockwork.now == 60.0


def test_a_seed_decides_between_what_is_due_at_the_same_time() -> None:
    orders = set()
    for seed in range(20):
        clockwork = Clockwork(Random(seed))
        order: list[int] = []
        for number in range(3):
            clockwork.at(1.0, order.append, number)
        clockwork.run(1.0)
        orders.add(tuple(order))

    assert len(orders) > 3


def test_what_is_cancelled_is_not_called(clockwork: Clockwork) -> None:
    called: list[str] = []
    clockwork.after(1.0, called.append, "cancelled").cancel()

    clockwork.run(2.0)

    assert called == []


def test_a_loop_without_an_end_is_an_error(clockwork: Clockwork) -> None:
    def again() -> None:
        clockwork.after(0.0, again)

    again()

    with pytest.raises(EndlessLoopError, match=r"Time stands still at 0\.000 s\."):
        clockwork.run(1.0)
