"""The event loop of all async handlers of a process.

It is not the one that keeps the leases: a handler that blocks it costs no lease.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from functools import partial
from typing import Any

from rele.engine.native.consuming.answers import EVERY, AnswerWatch
from rele.engine.native.consuming.handler_threads import Handlers, HandlerThreads
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.engine.stacks import stack_of
from rele.engine.threads import start_thread
from rele.exceptions import ThreadStartError
from rele.runtime.performing import perform

logger = logging.getLogger(__name__)

NAME = "rele-async-handlers"

_THREADS = 32
"""How many functions ``asyncio.to_thread`` runs at a time."""

_LAST_STEPS = 0.5
"""Seconds that cancelled tasks may take to end."""


class HandlerLoop:
    """One thread with an event loop, in which handlers run as tasks.

    Args:
        pull_loop: looks whether this loop still runs.
        threads: run what the tasks have called in threads.
    """

    def __init__(self, pull_loop: PullLoop, threads: HandlerThreads) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.threads = threads
        self._context = Context()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pull_loop = pull_loop
        self._thread: threading.Thread | None = None
        self._is_used: list[Callable[[], object]] = []
        self._watch = AnswerWatch()
        self._is_watched = False
        self._stopping: asyncio.Task[None] | None = None

    # From the thread of the pull loop.

    def call(self, function: Callable[[], object]) -> None:
        """Let the loop call ``function`` soon; its thread is started for the first one.

        Once the loop is closed, this does nothing.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        if self.loop is None:
            self._start()
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def watch(self, is_used: Callable[[], object]) -> None:
        """Look whether the loop still runs, for as long as it is used."""
        if is_used not in self._is_used:
            self._is_used.append(is_used)
        if not self._is_watched:
            self._is_watched = True
            self._pull_loop.loop.call_later(EVERY, self._look)

    def stop(self) -> None:
        """From any thread: cancel all tasks, and end the thread. Does not wait."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._begin_stop)

    # In the loop.

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call ``function`` after what is ready now."""
        assert self.loop is not None
        self.loop.call_soon(function, context=self._context)

    def new_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run ``coroutine`` as a task; not while the loop ends."""
        assert self.loop is not None
        if self._stopping is not None:
            coroutine.close()
            return
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(_HandlerExecutor(self.threads))
        try:
            self._thread = start_thread(NAME, lambda: self._live(loop))
        except ThreadStartError:
            loop.close()
            raise
        self.loop = loop

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while True:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit in a task that a handler has created
                logger.exception("A task has raised this; the event loop of the handlers goes on.")
            else:
                break
        # A handler that ignores its cancellation was logged. Its task is destroyed some time.
        loop.set_exception_handler(lambda loop, context: None)
        loop.close()

    def _begin_stop(self) -> None:
        assert self.loop is not None
        self._stopping = self.loop.create_task(self._stop())

    async def _stop(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _LAST_STEPS
        # Again: one that is cancelled may have made others.
        while (tasks := asyncio.all_tasks(loop) - {self._stopping}) and loop.time() < until:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=until - loop.time())
        await loop.shutdown_asyncgens()
        loop.stop()

    # In the pull loop.

    def _look(self) -> None:
        assert self.loop is not None
        if self.loop.is_closed() or not any(is_used() for is_used in self._is_used):
            self._is_watched = False
            self._watch.rest()
            return
        self._pull_loop.loop.call_later(EVERY, self._look)
        now = self._pull_loop.now()
        found = self._watch.look(now)
        if found == "ask":
            self.loop.call_soon_threadsafe(self._answer)
        elif found == "report" and self._thread is not None:
            logger.error(
                "A handler blocks the event loop of all async handlers, for %.1f s now: none of "
                "them proceeds. Let `await asyncio.to_thread(…)` call what waits or computes for "
                "long.\n%s",
                self._watch.seconds(now),
                stack_of(self._thread.ident),
            )

    def _answer(self) -> None:
        seconds = self._watch.answer(self._pull_loop.now())
        if seconds is not None:
            logger.warning(
                "The event loop of all async handlers runs again, after %.1f s.", seconds
            )


class _HandlerExecutor(ThreadPoolExecutor):
    """What ``asyncio.to_thread`` uses: threads that do not delay the end of the process.

    Args:
        threads: those of the handlers.
    """

    def __init__(self, threads: HandlerThreads) -> None:
        super().__init__(1)  # it starts no thread by itself
        self._functions: Handlers[partial[None]] = Handlers(_THREADS, lambda run: run(), threads)

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._functions.add([partial(perform, future, partial(function, *args, **kwargs))])
        self._functions.start()
        return future
