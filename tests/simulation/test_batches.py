"""Handlers of batches in simulated time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.simulation.scenario import Scenario, scenario_of
from tests.simulation.world import play

FOUND = (
    # A key waited for ever for a batch that never ended,
    *(46, 48, 77, 132),
    # What had just become ready was handled before an earlier message that failed.
    *(109, 114, 138, 253, 288),
)
"""Seeds that once broke a rule."""


def batched(seed: int) -> Scenario:
    """The scenario of a seed, with a handler of batches."""
    scenario, random = scenario_of(seed), Random(f"batches of {seed}")
    size = min(random.choice((1, 3, 10, 50)), scenario.options.max_messages)
    wait = random.choice((0.01, 0.2, 2.0))
    return replace(scenario, options=replace(scenario.options, batch_size=size, batch_wait=wait))


@pytest.mark.parametrize("seed", [*range(25), *FOUND])
def test_every_rule_holds(seed: int) -> None:
    result = play(batched(seed), seed)

    assert result.broken == [], f"seed {seed}: {result.broken[:3]}"
