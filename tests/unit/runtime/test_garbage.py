"""How often Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from rele.runtime.garbage import rare_collections


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("default", [700, 2000])
def test_it_looks_less_often_and_not_at_what_was_there_before(default: int) -> None:
    gc.set_threshold(default, 10, 10)

    with rare_collections():
        assert gc.get_threshold() == (10_000, 10, 10)
        assert gc.get_freeze_count() > 1000

    assert gc.get_threshold() == (default, 10, 10)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("threshold", [0, 50, 100_000])
def test_what_the_project_has_set_stays(threshold: int) -> None:
    gc.set_threshold(threshold, 5, 5)

    with rare_collections():
        assert gc.get_threshold() == (threshold, 5, 5)

    assert gc.get_threshold() == (threshold, 5, 5)
