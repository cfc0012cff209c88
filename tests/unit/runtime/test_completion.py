"""Running a coroutine to its end."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

from rele.runtime.completion import run_to_completion


@pytest.fixture(params=["asgiref", "none"])
def asgiref(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether asgiref is in use."""
    if request.param == "none":
        monkeypatch.delitem(sys.modules, "asgiref.sync", raising=False)
    choice: str = request.param
    return choice


pytestmark = pytest.mark.usefixtures("asgiref")


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_the_result_is_returned() -> None:
    assert run_to_completion(answer()) == 42


@pytest.mark.parametrize("error", [ValueError("boo"), SystemExit(3), asyncio.CancelledError()])
def test_an_error_is_raised(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        run_to_completion(fail())


def test_it_runs_beside_a_running_loop() -> None:
    async def main() -> int:
        return run_to_completion(answer())

    assert asyncio.run(main()) == 42


def test_tasks_that_are_left_behind_are_cancelled() -> None:
    ended: list[str] = []

    async def stay() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def leave() -> Any:
        task = asyncio.ensure_future(stay())
        await asyncio.sleep(0)
        return task

    run_to_completion(leave())

    assert ended == ["cancelled"]


def test_without_asgiref_it_runs_in_the_calling_thread(asgiref: str) -> None:
    async def thread() -> threading.Thread:
        return threading.current_thread()

    if asgiref == "none":
        assert run_to_completion(thread()) is threading.current_thread()
