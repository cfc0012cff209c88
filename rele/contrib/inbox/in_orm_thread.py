"""A transaction of an ``async def``, in the thread in which its ORM calls run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from rele.runtime.completion import has_running_loop

Entered = TypeVar("Entered")


@asynccontextmanager
async def in_orm_thread(manager: AbstractContextManager[Entered]) -> AsyncIterator[Entered]:
    """Enter and exit ``manager`` in the thread of the ORM calls.

    What has begun there is waited for, also if the task is cancelled meanwhile, so that no
    transaction is left open.

    Raises:
        BaseException: what the block or the manager raises.
    """
    entering, cancelled = await _call(manager.__enter__)
    entered = entering.result()
    try:
        if cancelled is not None:
            raise cancelled
        yield entered
    except BaseException as error:
        if not has_running_loop():  # it is gone: nothing can be awaited any more
            raise
        exiting, _ = await _call(manager.__exit__, type(error), error, error.__traceback__)
        if not exiting.result():
            raise
    else:
        exiting, cancelled = await _call(manager.__exit__, None, None, None)
        exiting.result()
        if cancelled is not None:
            raise cancelled


async def _call(
    function: Callable[..., Any], *args: Any
) -> tuple[asyncio.Task[Any], asyncio.CancelledError | None]:
    """Call ``function`` in that thread, to its end; return whether the task was cancelled, too."""
    calling = asyncio.ensure_future(sync_to_async(function, thread_sensitive=True)(*args))
    cancelled = None
    while not calling.done():
        try:
            await asyncio.wait([calling])
        except asyncio.CancelledError as error:
            cancelled = error
    return calling, cancelled
