from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rele.sending.ends import Call, Runner, Surroundings, publish_waits, surroundings_of

WORK_HORSE = Call("rq.worker.base", "main_work_horse", SimpleNamespace())
PROCESS = Call("multiprocessing.process", "_bootstrap", SimpleNamespace(daemon=False))
DAEMON = Call("multiprocessing.process", "_bootstrap", SimpleNamespace(daemon=True))
BILLIARD_PROCESS = Call("billiard.process", "_bootstrap", SimpleNamespace(daemon=True))


def in_pool(on_exit: Any) -> list[Call]:
    """The calls in a process of billiard's pool, whose processes are daemons."""
    return [Call("billiard.pool", "__call__", SimpleNamespace(on_exit=on_exit)), BILLIARD_PROCESS]


def process_destructor() -> None:
    """Stands in for Celery's function of that name."""


process_destructor.__module__ = "celery.concurrency.prefork"
CELERY = in_pool(process_destructor)


def surroundings(*calls: Call, is_forked: bool = True, is_ending: bool = False) -> Surroundings:
    return surroundings_of(calls, is_forked=is_forked, is_ending=is_ending)


@pytest.mark.parametrize(
    ("calls", "runner", "waits"),
    [
        pytest.param([], Runner.INTERPRETER, False, id="fork"),
        pytest.param([PROCESS], Runner.MULTIPROCESSING, False, id="Process"),
        pytest.param([DAEMON], Runner.MULTIPROCESSING, True, id="Pool"),
        pytest.param([BILLIARD_PROCESS], Runner.MULTIPROCESSING, True, id="billiard.Process"),
        pytest.param(CELERY, Runner.CELERY_POOL, False, id="Celery"),
        pytest.param(in_pool(None), Runner.BILLIARD_POOL, True, id="billiard.Pool"),
        pytest.param(in_pool(print), Runner.BILLIARD_POOL, True, id="on_process_exit"),
        pytest.param([WORK_HORSE], Runner.WORK_HORSE, True, id="RQ"),
        pytest.param([PROCESS, WORK_HORSE], Runner.MULTIPROCESSING, False, id="Process in RQ"),
        pytest.param([WORK_HORSE, DAEMON], Runner.WORK_HORSE, True, id="RQ in a Process"),
        pytest.param([PROCESS, *CELERY], Runner.MULTIPROCESSING, False, id="Process in Celery"),
        pytest.param([Call("shop", "__call__", None)], Runner.INTERPRETER, False, id="other calls"),
        pytest.param([Call("shop", "_bootstrap", None)], Runner.INTERPRETER, False, id="its own"),
    ],
)
def test_a_publish_waits_where_a_process_may_end_without_sending(
    calls: list[Call], runner: Runner, waits: bool
) -> None:
    around = surroundings(*calls)

    assert around.runner is runner
    assert publish_waits(around, None) is waits


class TestSetting:
    @pytest.mark.parametrize("calls", [[], [PROCESS], [DAEMON], CELERY, [WORK_HORSE]])
    def test_decides_for_each_child(self, calls: list[Call]) -> None:
        assert publish_waits(surroundings(*calls), "wait")
        assert not publish_waits(surroundings(*calls), "background")

    def test_counts_in_a_child_that_was_not_forked(self) -> None:
        assert publish_waits(surroundings(PROCESS, is_forked=False), "wait")

    def test_does_not_count_in_a_process_that_is_no_child(self) -> None:
        assert not publish_waits(surroundings(is_forked=False), "wait")


class TestEnding:
    def test_is_what_the_process_says(self) -> None:
        assert surroundings(is_ending=True).is_ending
        assert surroundings(PROCESS, is_ending=True).is_ending
        assert not surroundings(PROCESS).is_ending

    def test_is_celerys_signal_too(self) -> None:
        destructor = Call("celery.concurrency.prefork", "process_destructor", None)

        assert surroundings(destructor, *CELERY).is_ending
        assert not surroundings(*CELERY).is_ending
