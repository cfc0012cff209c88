"""How long a failed message waits."""

from __future__ import annotations

import pytest

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (NO_BACKOFF, [0.0, 0.0, 0.0]),
        (Backoff(1.0, 8.0), [1.0, 2.0, 4.0, 8.0, 8.0]),
        (Backoff(5.0, 5.0), [5.0, 5.0, 5.0]),
        (Backoff(0.0, 1.0), [0.0, 0.2, 0.4, 0.8, 1.0]),
    ],
)
def test_delays_double_up_to_the_maximum(backoff: Backoff, delays: list[float]) -> None:
    assert [backoff.delay(failures) for failures in range(1, len(delays) + 1)] == pytest.approx(
        delays
    )


def test_very_many_failures_are_no_problem() -> None:
    assert Backoff(10.0, 600.0).delay(10**9) == 600.0
