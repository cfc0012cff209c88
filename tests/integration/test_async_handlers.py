"""Async handlers in a worker on a real server."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import rele
from rele import current_message
from rele.engine.native.consuming.handler_loop import NAME
from rele.middleware import BaseMiddleware
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription, sub
from tests.support.in_use import register
from tests.support.inbox import Inbox

Run = Callable[..., Any]
Handler = Callable[..., Coroutine[Any, Any, Any]]


async def handle_nothing(data: Any, **attributes: Any) -> None: ...


class TestOnBothEngines:
    pytestmark = pytest.mark.both_engines(slow="google")

    def test_a_message_is_awaited_with_its_attributes(self, run_worker: Run) -> None:
        inbox = Inbox()

        async def handle(data: Any, **attributes: Any) -> None:
            await asyncio.sleep(0)
            message = current_message()
            assert message is not None
            inbox.put((data, attributes["lang"], message.attributes["lang"]))

        run_worker([sub("greetings")(handle)])

        rele.publish("greetings", {"hello": "wörld"}, lang="de")

        assert inbox.wait_for(1) == [({"hello": "wörld"}, "de", "de")]

    def test_a_failed_message_is_redelivered(self, run_worker: Run) -> None:
        inbox = Inbox()

        async def fail_once(data: Any, **attributes: Any) -> None:
            await asyncio.sleep(0)
            inbox.put(data)
            if len(inbox.items) == 1:
                raise ValueError("not today")

        run_worker([Subscription(fail_once, "orders", retry_policy=RetryPolicy(1, 2))])

        rele.publish("orders", 1)

        assert inbox.wait_for(2) == [1, 1]

    def test_a_handler_publishes(self, run_worker: Run) -> None:
        inbox = Inbox()

        async def pass_on(data: Any, **attributes: Any) -> None:
            await rele.apublish("second", data + 1)

        async def handle(data: Any, **attributes: Any) -> None:
            inbox.put(data)

        run_worker([sub("first")(pass_on), sub("second")(handle)])

        rele.publish("first", 1)

        assert inbox.wait_for(1) == [2]

    def test_the_acks_of_exactly_once_delivery_are_confirmed(self, run_worker: Run) -> None:
        inbox = Inbox()
        failed = Inbox()

        class Middleware(BaseMiddleware):
            async def post_process_message_success(self, *args: Any) -> None:  # type: ignore[override]
                inbox.put(args[2].ack_response.done())

            async def post_ack_failure(self, *args: Any) -> None:  # type: ignore[override]
                failed.put(args)

        async def handle(data: Any, **attributes: Any) -> None: ...

        run_worker([sub("orders", enable_exactly_once_delivery=True)(handle)])
        register(Middleware())

        rele.publish("orders", 1)

        assert inbox.wait_for(1) == [True]
        assert failed.items == []


def test_as_many_run_at_once_as_threads_says(run_worker: Run) -> None:
    inbox = Inbox()
    running: list[int] = []
    most: list[int] = []

    async def handle(data: Any, **attributes: Any) -> None:
        running.append(data)
        most.append(len(running))
        await asyncio.sleep(0.02)
        running.remove(data)
        inbox.put(data)

    run_worker([sub("orders", threads=3)(handle)])

    rele.publish_many("orders", range(20))

    inbox.wait_for(20)
    assert max(most) == 3


def test_a_hundred_run_at_once_in_one_thread_without_more(run_worker: Run) -> None:
    inbox = Inbox()
    together = asyncio.Event()
    running: list[threading.Thread] = []

    async def handle(data: Any, **attributes: Any) -> None:
        running.append(threading.current_thread())
        if len(running) == 100:
            together.set()
        await asyncio.wait_for(together.wait(), 20)
        inbox.put(data)

    run_worker([sub("orders")(handle)])

    rele.publish_many("orders", range(100))

    inbox.wait_for(100)
    assert {thread.name for thread in running} == {NAME}


value: contextvars.ContextVar[str] = contextvars.ContextVar("value", default="unset")


def test_context_variables_do_not_leak_into_the_next_message(run_worker: Run) -> None:
    inbox = Inbox()

    async def handle(data: Any, **attributes: Any) -> None:
        inbox.put(value.get())
        value.set("of another message")
        await asyncio.sleep(0)

    run_worker([sub("orders", threads=1)(handle)])

    rele.publish_many("orders", range(5))

    assert inbox.wait_for(5) == ["unset"] * 5


def test_the_messages_of_a_key_are_handled_in_order(run_worker: Run) -> None:
    inbox = Inbox()

    async def handle(data: Any, **attributes: Any) -> None:
        await asyncio.sleep(0.01 if data % 2 else 0)
        inbox.put(data)

    run_worker([sub("orders", enable_message_ordering=True)(handle)])

    for number in range(10):
        rele.publish("orders", number, ordering_key="key")

    assert inbox.wait_for(10) == list(range(10))


def test_a_blocked_loop_is_logged_with_its_stack(
    run_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, lines = Inbox(), Inbox()
    released = threading.Event()

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.put(record.getMessage())

    async def block(data: Any, **attributes: Any) -> None:
        released.wait(20)
        inbox.put(data)

    monkeypatch.setattr(
        logging.getLogger("rele.engine.native.consuming.handler_loop"), "handlers", [Log()]
    )
    run_worker([sub("orders")(block)])
    rele.publish("orders", 1)

    [line] = lines.wait_for(1)
    released.set()

    assert "A handler blocks the event loop of all async handlers" in line
    assert "released.wait(20)" in line
    assert "runs again" in lines.wait_for(2)[1]
    assert inbox.wait_for(1) == [1]


def test_a_publish_that_blocks_the_loop_is_logged(
    run_worker: Run, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()

    async def handle(data: Any, **attributes: Any) -> None:
        rele.publish("others", data, blocking=True)
        inbox.put(data)

    run_worker([sub("orders")(handle), sub("others")(handle_nothing)])
    rele.publish("orders", 1)

    assert inbox.wait_for(1) == [1]
    assert "A blocking publish in" in caplog.text


@pytest.mark.slow
def test_a_handler_that_runs_too_long_is_logged_with_where_it_waits(
    run_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, lines = Inbox(), Inbox()

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.put(record.getMessage())

    async def stay(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        if len(inbox.items) == 1:
            await asyncio.Event().wait()

    monkeypatch.setattr(
        logging.getLogger("rele.engine.native.consuming.interruptions"), "handlers", [Log()]
    )
    run_worker([sub("orders", max_lease_duration=1)(stay)], SHUTDOWN_TIMEOUT=0.2)
    rele.publish("orders", 1)

    [line] = lines.wait_until(lambda found: any("has not returned" in each for each in found))
    assert "await asyncio.Event().wait()" in line
    assert inbox.wait_for(2) == [1, 1]


@pytest.mark.slow
def test_a_blocked_loop_loses_no_lease(run_worker: Run) -> None:
    inbox = Inbox()

    async def block(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        if data == 1:
            time.sleep(15)  # longer than a lease

    run_worker([sub("orders", ack_deadline=10, enable_message_ordering=True)(block)])
    for number in (1, 2):
        rele.publish("orders", number, ordering_key="key")

    assert inbox.wait_for(2, 40) == [1, 2]


@pytest.mark.slow
def test_a_handler_that_still_runs_at_the_deadline_is_cancelled_and_its_message_redelivered(
    run_worker: Run, caplog: pytest.LogCaptureFixture
) -> None:
    inbox, ended = Inbox(), Inbox()

    async def stay(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        try:
            await asyncio.sleep(60)
        finally:
            ended.put("cleaned up")

    worker = run_worker([sub("orders")(stay)], SHUTDOWN_TIMEOUT=0.2)
    rele.publish("orders", 1)
    inbox.wait_for(1)

    with pytest.raises(SystemExit) as exit_:
        worker.stop()

    assert exit_.value.code == 0
    assert ended.items == ["cleaned up"]
    assert "1 handler(s) of orders still ran at the end of the shutdown timeout" in caplog.text

    async def handle(data: Any, **attributes: Any) -> None:
        inbox.put(data)

    run_worker([sub("orders")(handle)])
    assert inbox.wait_for(2) == [1, 1]


def test_a_handler_that_swallows_its_cancellation_does_not_hang_the_stop(
    run_worker: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, status = Inbox(), Inbox()
    monkeypatch.setattr("os._exit", status.put)

    async def stay(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        while not status.items:
            try:
                await asyncio.sleep(60 if inbox.items else 0)
            except asyncio.CancelledError:
                inbox.put("no")

    worker = run_worker([sub("orders")(stay)], SHUTDOWN_TIMEOUT=0.2)
    rele.publish("orders", 1)
    inbox.wait_for(1)

    begun = time.monotonic()
    with pytest.raises(SystemExit):
        worker.stop()

    assert status.items[0] == 1
    assert time.monotonic() - begun < 5


def test_a_function_in_a_thread_does_not_delay_the_end_of_the_process(run_worker: Run) -> None:
    inbox = Inbox()

    async def handle(data: Any, **attributes: Any) -> None:
        await asyncio.to_thread(lambda: inbox.put(threading.current_thread().daemon))

    run_worker([sub("orders")(handle)])

    rele.publish("orders", 1)

    assert inbox.wait_for(1) == [True]


def test_an_exit_in_a_task_of_a_handler_does_not_end_the_others(run_worker: Run) -> None:
    inbox = Inbox()

    async def leave() -> None:
        raise SystemExit

    async def handle(data: Any, **attributes: Any) -> None:
        inbox.put(data)
        if data == 1:
            tasks.append(asyncio.ensure_future(leave()))

    tasks: list[Any] = []
    run_worker([sub("orders")(handle)])

    for number in (1, 2):
        rele.publish("orders", number)
        inbox.wait_for(number)
    assert isinstance(tasks[0].exception(), SystemExit)
