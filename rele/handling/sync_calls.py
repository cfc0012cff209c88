"""Where the sync functions run that belong to a message of an async handler.

They are the hooks that may do I/O, the calls of Django's ORM, and the transaction of
``@idempotent``. All of one message run in one thread.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol

from rele.runtime.performing import perform

RunInThread = Callable[[Callable[[], object]], object]
"""Runs a function soon, in some thread."""


class SyncCalls(Protocol):
    """The sync functions of one message."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call ``function``; what it changes in context variables counts for the caller, too."""


class InCallingThread:
    """For a coroutine that runs to its end in the thread that handles the message.

    asgiref, where it is in use, knows that thread; otherwise it is the thread of the event loop,
    which has nothing else to do.
    """

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        asgiref = sys.modules.get("asgiref.sync")
        if asgiref is None:
            return function(*args)
        return await asgiref.SyncToAsync(function, thread_sensitive=True)(*args)


class InOwnThread(Executor):
    """For one of many messages in one event loop: a thread, taken at the first call.

    It is also what asgiref needs to run the calls of Django's ORM there.

    Args:
        run_in_thread: runs a function in a thread.
        begin: called in the thread before everything else.
        end: called in the thread after everything else.
    """

    def __init__(
        self,
        run_in_thread: RunInThread,
        begin: Callable[[], object] = lambda: None,
        end: Callable[[], object] = lambda: None,
    ) -> None:
        self._run_in_thread = run_in_thread
        self._begin = begin
        self._end = end
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._has_ended: Future[None] | None = None
        self._is_over = False

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``function`` in the thread.

        Once the message has ended, as a task that its handler has left behind may find, each call
        has a thread of its own.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        if self._is_over:
            late = InOwnThread(self._run_in_thread, self._begin, self._end)
            future = late.submit(function, *args, **kwargs)
            late.close()
            return future
        if self._has_ended is None:
            has_ended: Future[None] = Future()
            self._run_in_thread(partial(copy_context().run, self._live, has_ended))
            self._has_ended = has_ended
        future = Future()
        self._calls.put((future, partial(function, *args, **kwargs)))
        return future

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        asgiref = sys.modules.get("asgiref.sync")
        if asgiref is not None:
            return await asgiref.SyncToAsync(function, thread_sensitive=False, executor=self)(*args)
        context = copy_context()
        try:
            return await asyncio.wrap_future(self.submit(context.run, function, *args))
        finally:
            _take_changes(context)

    def close(self) -> Future[None] | None:
        """Let the thread end after its calls; return the future of that, if there is a thread."""
        self._is_over = True
        if self._has_ended is not None:
            self._calls.put(None)
        return self._has_ended

    async def end(self) -> None:
        """Return when the thread has cleaned up."""
        has_ended = self.close()
        if has_ended is not None:
            await asyncio.shield(asyncio.wrap_future(has_ended))

    def _live(self, has_ended: Future[None]) -> None:
        try:
            self._begin()
            while (call := self._calls.get()) is not None:
                perform(*call)
            self._end()
        finally:
            has_ended.set_result(None)


def _take_changes(context: Context) -> None:
    """Set the context variables that a call in a copy of this context has changed."""
    for variable, value in context.items():
        if variable.get(variable) is not value:
            variable.set(value)
