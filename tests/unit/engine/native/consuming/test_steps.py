"""A coroutine whose first step needs no task, in a context of its own."""

from __future__ import annotations

import asyncio
import gc
from contextvars import Context, ContextVar

import pytest

from rele.engine.native.consuming.steps import Steps

value: ContextVar[str] = ContextVar("value", default="unset")


def test_one_that_does_not_wait_ends_at_once() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("done")

    assert not Steps(work(), Context()).take_first()
    assert done == ["done"]


def test_one_that_waits_goes_on_where_it_is_awaited_in_its_context() -> None:
    seen: list[str] = []

    async def work() -> None:
        value.set("of the work")
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        seen.append(value.get())

    async def main() -> None:
        steps = Steps(work(), Context())
        assert steps.take_first()
        assert seen == []
        await steps

    asyncio.run(main())

    assert seen == ["of the work"]
    assert value.get() == "unset"


def test_an_error_of_what_it_waits_for_is_raised_in_it() -> None:
    caught: list[BaseException] = []

    async def work() -> None:
        try:
            await asyncio.wait_for(asyncio.sleep(60), 0.001)
        except asyncio.TimeoutError as error:
            caught.append(error)

    async def main() -> None:
        steps = Steps(work(), Context())
        assert steps.take_first()
        await steps

    asyncio.run(main())

    assert len(caught) == 1


def test_the_cancellation_of_the_awaiting_task_is_its_own() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        steps = Steps(work(), Context())
        assert steps.take_first()

        async def wait() -> None:
            await steps

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert ended == ["cancelled"]


def test_one_that_is_abandoned_is_closed() -> None:
    closed: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append("closed")

    async def main() -> None:
        steps = Steps(work(), Context())
        steps.take_first()
        steps.__await__().send(None)

    asyncio.run(main())
    gc.collect()

    assert closed == ["closed"]
