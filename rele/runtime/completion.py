"""Running a coroutine to its end from code that is not asynchronous."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_to_completion(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run ``coroutine`` to its end, and return its result.

    It runs in an event loop of its own, and the tasks that it leaves behind are cancelled. In a
    thread that has a running event loop it runs in another thread, while that loop waits. Context
    variables that it sets are gone afterwards.

    Where asgiref is in use, as it is with Django, the loop is asgiref's: what needs the thread of
    the caller, such as the ORM calls of the coroutine, runs there.

    Raises:
        BaseException: what the coroutine raises.
    """
    run = _run_in_thread if has_running_loop() else _run_here
    return contextvars.copy_context().run(run, coroutine)


def has_running_loop() -> bool:
    """Whether an event loop runs in this thread.

    Where none does, a coroutine that gets a ``GeneratorExit`` is being closed, and cannot await
    anything more. Otherwise its own code has raised it.
    """
    return asyncio._get_running_loop() is not None


def _run_here(coroutine: Coroutine[Any, Any, Result]) -> Result:
    asgiref = sys.modules.get("asgiref.sync")
    if asgiref is None:
        return _run_in_own_loop(coroutine)

    async def run() -> Result:
        return await coroutine

    result: Result = asgiref.AsyncToSync(run)()
    return result


def _run_in_thread(coroutine: Coroutine[Any, Any, Result]) -> Result:
    outcome: Future[Result] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.set_result(context.run(_run_here, coroutine))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            outcome.set_exception(error)

    Thread(target=run, name="rele-coroutine", daemon=True).start()
    return outcome.result()


def _run_in_own_loop(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """As ``asyncio.run``, which would also change the loop that the thread has set."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
