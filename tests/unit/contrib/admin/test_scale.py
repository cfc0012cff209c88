"""Percentiles of durations that were counted on a scale."""

from __future__ import annotations

import random

import pytest

from rele.contrib.admin.scale import STEPS, percentile, step_of, together


def counted(*durations: float) -> dict[int, int]:
    return together({step_of(each): 1} for each in durations)


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_a_percentile_is_right_within_an_eighth(share: float) -> None:
    durations = sorted(random.Random(7).lognormvariate(-3, 2) for _ in range(1_000))

    found = percentile(counted(*durations), share)

    exact = durations[int(share * len(durations)) - 1]
    assert found is not None
    assert exact / 1.125 <= found <= exact * 1.125


def test_without_messages_there_is_no_percentile() -> None:
    assert percentile({}, 0.5) is None


@pytest.mark.parametrize("seconds", [-5.0, 0.0, 1e-9, 1e9])
def test_any_duration_has_a_step(seconds: float) -> None:
    assert 0 <= step_of(seconds) < STEPS
    assert percentile(counted(seconds), 0.5) == pytest.approx(0.0001 if seconds < 1 else 4_500, 0.1)
