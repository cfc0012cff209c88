"""Whatever goes wrong: nothing is lost, repeated without a reason, or out of order.

``python -m tests.simulation SEED`` replays a seed, and shows what happens.
"""

from __future__ import annotations

import pytest

from tests.simulation.world import play_seed

SEEDS = 500
SEEDS_OF_SOAK = 100_000
SEEDS_OF_OTHER_HANDLERS = 10_000
AT_A_TIME = 50
"""Seeds of one test."""


def play_all(first: int, number: int, handlers: str = "threads") -> None:
    broken = {}
    for seed in range(first, first + number):
        if texts := play_seed(seed, handlers).broken:
            broken[f"python -m tests.simulation {seed} --handlers {handlers}"] = texts[:3]
    assert broken == {}


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_every_rule_holds_whatever_happens(first: int) -> None:
    play_all(first, AT_A_TIME)


@pytest.mark.parametrize("handlers", ["batches", "tasks", "pauses"])
def test_every_rule_holds_with_other_handlers(handlers: str) -> None:
    play_all(0, AT_A_TIME, handlers)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(SEEDS, SEEDS_OF_SOAK, 1000))
def test_every_rule_holds_for_very_many_seeds(first: int) -> None:
    play_all(first, min(1000, SEEDS_OF_SOAK - first))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(AT_A_TIME, SEEDS_OF_OTHER_HANDLERS, 500))
@pytest.mark.parametrize("handlers", ["batches", "tasks", "pauses"])
def test_every_rule_holds_for_many_seeds_with_other_handlers(first: int, handlers: str) -> None:
    play_all(first, min(500, SEEDS_OF_OTHER_HANDLERS - first), handlers)
