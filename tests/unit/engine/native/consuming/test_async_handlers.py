"""The messages of one subscription, handed to tasks of an event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from rele.engine.native.consuming.async_handlers import AsyncHandlers
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.stacks import stack_of_coroutine

value: ContextVar[str] = ContextVar("value", default="unset")


def delivery_of(message: str) -> Delivery:
    delivery = Delivery(message, message)
    delivery.message = message
    return delivery


class HereLoop:
    """The running loop, as the one of all async handlers."""

    def __init__(self) -> None:
        self.threads = SimpleNamespace(run=None)
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []

    def call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)

    call_soon = call

    def watch(self, is_used: Callable[[], object]) -> None: ...

    def new_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._loop.create_task(coroutine))


class Subscription:
    """Its handlers, and which of its messages have ended."""

    def __init__(
        self,
        handle: Callable[[Any], Coroutine[Any, Any, object]],
        number: int = 2,
        begins: Callable[[Delivery], bool] = lambda delivery: True,
    ) -> None:
        self.finished: list[str] = []
        self.was_idle = asyncio.Event()
        self.handlers = AsyncHandlers(
            "orders",
            number,
            HereLoop(),  # type: ignore[arg-type]
            begin=begins,
            handle=lambda message, run_in_thread: handle(message),
            finish=lambda delivery: self.finished.append(delivery.message_id),
            idle=self.was_idle.set,
        )

    async def handle(self, *messages: str) -> None:
        """Until there is nothing more to begin with, and all have ended."""
        self.was_idle.clear()
        for message in messages:
            self.handlers.add([delivery_of(message)])
        self.handlers.start()
        await self.was_idle.wait()
        while self.handlers.running:
            await asyncio.sleep(0)


async def nothing(message: Any) -> None: ...


async def waiting(message: Any) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize("handler", [nothing, waiting])
def test_all_that_is_added_is_handled(handler: Any) -> None:
    async def main() -> list[str]:
        orders = Subscription(handler)
        await orders.handle(*"abcdefg")
        await orders.handle("h")
        return orders.finished

    assert sorted(asyncio.run(main())) == list("abcdefgh")


def test_what_may_not_begin_is_finished_unhandled() -> None:
    handled: list[str] = []

    async def handle(message: str) -> None:
        handled.append(message)

    async def main() -> list[str]:
        orders = Subscription(handle, begins=lambda delivery: delivery.message_id != "b")
        await orders.handle(*"abc")
        return orders.finished

    assert asyncio.run(main()) == list("abc")
    assert handled == ["a", "c"]


def test_no_more_than_the_number_run_at_once() -> None:
    running: list[str] = []
    most: list[int] = []

    async def handle(message: str) -> None:
        running.append(message)
        most.append(len(running))
        await asyncio.sleep(0)
        running.remove(message)

    async def main() -> None:
        await Subscription(handle, number=3).handle(*"abcdefghij")

    asyncio.run(main())

    assert max(most) == 3


def test_a_message_that_has_not_begun_can_be_cleared() -> None:
    async def main() -> list[str]:
        orders = Subscription(nothing)
        orders.handlers.add([delivery_of("a")])
        assert [each.message_id for each in orders.handlers.clear()] == ["a"]
        await orders.handle("b")
        return orders.finished

    assert asyncio.run(main()) == ["b"]


@pytest.mark.parametrize("handler", [nothing, waiting])
def test_each_message_has_a_context_of_its_own(handler: Any) -> None:
    seen: list[str] = []

    async def handle(message: str) -> None:
        seen.append(value.get())
        value.set(message)
        await handler(message)

    async def main() -> None:
        value.set("of the loop")
        await Subscription(handle).handle(*"abcd")

    asyncio.run(main())

    assert seen == ["unset"] * 4


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="Python 3.10 takes no cancellation back: another handler is cancelled, and redelivered",
)
def test_a_handler_that_cancels_its_task_and_returns_cancels_no_other() -> None:
    ended: list[str] = []

    async def handle(message: str) -> None:
        if message == "a":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        else:
            await asyncio.sleep(0)
        ended.append(message)

    async def main() -> list[str]:
        orders = Subscription(handle)
        await orders.handle(*"abc")
        return orders.finished

    assert sorted(asyncio.run(main())) == list("abc")
    assert sorted(ended) == list("abc")


def test_those_that_run_can_be_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def handle(message: str) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(message)

    async def main() -> bool:
        orders = Subscription(handle)
        assert not orders.handlers.cancel()
        for message in "ab":
            orders.handlers.add([delivery_of(message)])
        orders.handlers.start()
        while orders.handlers.running < 2:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        was_any = orders.handlers.cancel()
        while orders.handlers.running:
            await asyncio.sleep(0)
        return was_any

    assert asyncio.run(main())
    assert ended == ["a", "b"]
    assert "2 handler(s) of orders still ran" in caplog.text


def test_where_a_message_waits_can_be_seen() -> None:
    async def inner() -> None:
        await asyncio.sleep(60)

    async def handle(message: str) -> None:
        await inner()

    async def main() -> str:
        orders = Subscription(handle)
        delivery = delivery_of("a")
        orders.handlers.add([delivery])
        orders.handlers.start()
        while delivery.coroutine is None:
            await asyncio.sleep(0)
        stack = stack_of_coroutine(delivery.coroutine)
        orders.handlers.cancel()
        while orders.handlers.running:
            await asyncio.sleep(0)
        return stack

    stack = asyncio.run(main())

    assert "await inner()" in stack
    assert "await asyncio.sleep(60)" in stack
