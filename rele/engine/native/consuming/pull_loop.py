"""The event loop in which all consumers of a process have their streams and calls."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

from rele.engine.native import forking
from rele.engine.native.consuming.blocked import BlockedWatch
from rele.engine.native.consuming.loop_watch import ThreadTimes, WatchedSelector, report_blocked
from rele.engine.native.consuming.pull_availability import PullAvailability
from rele.engine.native.consuming.pull_connections import PullConnections
from rele.engine.native.consuming.pulse import Pulse
from rele.engine.native.forking import gate
from rele.engine.native.grpc_threads import can_open_first_channel
from rele.engine.threads import start_thread
from rele.engine.times import Times
from rele.exceptions import ThreadStartError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_PAUSE = 0.001
"""Seconds between two checks whether a fork is over."""

_TICK = 1.0
"""Seconds between two checks whether the loop runs, while messages are outstanding."""


class Blockable(Protocol):
    """What has to know when the loop did not run."""

    @property
    def is_busy(self) -> bool:
        """Whether it has messages, whose leases the loop keeps."""

    def note_blocked(self, seconds: float) -> None:
        """Do not count the last ``seconds`` as silence of the server."""

    def work_of(self, thread: int | None, at: float) -> str | None:
        """What it has let ``thread`` do at that time, for the log."""


class PullLoop:
    """One thread with an event loop, and its connections.

    While the process forks, the loop has no connection and stands still.

    Args:
        open_channel: opens an asyncio channel; called in the loop.
        address: the server's address, for the log.
        times: the durations that it uses; tests shorten them.
    """

    def __init__(
        self, open_channel: Callable[[], Any], address: str, times: Times | None = None
    ) -> None:
        self.connections = PullConnections(open_channel)
        self.availability = PullAvailability(address, lambda: self.connections.channels, times)
        self.blockable: weakref.WeakSet[Blockable] = weakref.WeakSet()
        self.is_inherited = False
        """Whether it belongs to the parent of this process: it does nothing here."""
        self.loop: asyncio.AbstractEventLoop
        self.thread_id: int | None = None
        """The thread of the loop, while it runs."""
        self._watch = BlockedWatch((times or Times()).blocked_after)
        self._processor = ThreadTimes()
        self._is_ticking = False
        self._selector: WatchedSelector | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._context = Context()
        self._is_started = False
        self._is_ended = False
        self._is_parked = False
        self._ends_for_fork = False
        self._pulse = Pulse(self.call, self.now)

    now = staticmethod(time.monotonic)
    """The time of the loop, in seconds."""

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            ThreadStartError: the system starts no more threads.
            ConfigurationError: gRPC does not work in this process, which was forked.
        """
        if self._is_started:
            return
        forking.check_child()
        if not can_open_first_channel():
            raise ThreadStartError("gRPC")
        self._selector = WatchedSelector(self._watch, self._note_blocked)
        # Not the loop of the policy in use, which might be one that gRPC does not know.
        loop = self.loop = asyncio.SelectorEventLoop(self._selector)
        loop.set_exception_handler(_report)
        try:
            start_thread("rele-consumer", lambda: self._run(loop))
        except ThreadStartError:
            loop.close()
            raise
        self._is_started = True
        gate.watch_loop(self)

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """From any thread, let the loop call ``function`` soon; not once it is closed."""
        if self.is_inherited:
            return
        try:
            # Not in the context of the caller: what is begun here would keep it, and a message.
            self.loop.call_soon_threadsafe(function, *args, context=self._context)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            logger.debug("A handler has ended after the connections were closed.")

    @property
    def is_over(self) -> bool:
        """Whether it does nothing any more in this process."""
        return self.is_inherited or self._is_ended

    @property
    def is_running(self) -> bool:
        """From any thread: whether it does what it is asked to; before it has begun, it may."""
        return not self._is_started or self._pulse.is_beating()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """In the loop: run ``coroutine`` as a task."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._note_done)
        return task

    def note_work(self) -> None:
        """In the loop: check that it runs, for as long as messages are outstanding.

        An idle process is left to sleep: nothing is lost while it does not run.
        """
        if not self._is_ticking:
            self._is_ticking = True
            self._tick()

    def stop(self) -> None:
        """End all tasks, close the connections, and end the thread. Does not wait."""
        if self._is_started and not self._is_ended:
            self.call(lambda: self.begin(self._close()))

    # For a fork, from the thread that forks.

    @property
    def is_quiet(self) -> bool:
        """Whether it has no connection, and stands still."""
        return self._is_parked or self._is_ended

    def cancel(self, *, begun_before: float) -> None:
        """Let it end all streams and calls and stand still until the fork is over."""
        if not self._ends_for_fork and not self.is_quiet:
            self._ends_for_fork = True
            self.call(lambda: self.begin(self._end_for_fork()))

    def leave(self) -> None:
        """In a child: do nothing from now on, and do not touch what the parent uses."""
        self.is_inherited = True
        if self._selector is not None:
            self._selector.close()  # what it watches is shared with the parent

    # In the loop.

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self.thread_id = threading.get_ident()
        asyncio.set_event_loop(loop)
        while not (self._is_ended or self.is_inherited):
            try:
                loop.run_forever()
            except BaseException:  # SystemExit, which asyncio does not catch
                logger.exception("A step of Relé's consumers has ended by an exit; they go on.")
        loop.close()

    def _tick(self) -> None:
        self._is_ticking = any(each.is_busy for each in self.blockable)
        if self._is_ticking:
            self._processor.look()
            self.loop.call_later(_TICK, self._tick)

    def _note_blocked(self, seconds: float) -> None:
        """Take account of the time in which the loop did not run, before anything else happens."""
        self.availability.note_blocked(seconds)
        thread = self._processor.busiest(seconds) if self._is_ticking else None
        began = self.now() - seconds
        blockable = list(self.blockable)
        work = (each.work_of(thread, began) for each in blockable)
        report_blocked(seconds, thread, next((each for each in work if each), None))
        for each in blockable:
            each.note_blocked(seconds)

    def _note_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _report(self.loop, {"exception": error})

    async def _end_for_fork(self) -> None:
        try:
            await self.connections.end()
        finally:
            self._park()
            self.connections.resume()

    def _park(self) -> None:
        """Stand still while the process forks."""
        while True:
            self._is_parked = True
            while gate.is_closed:
                time.sleep(_PAUSE)
            # A fork that begins now sees this, or is seen by the next check.
            self._is_parked = self._ends_for_fork = False
            if not gate.is_closed:
                break
        self._watch.skip(time.monotonic())

    async def _close(self) -> None:
        me = asyncio.current_task()
        others = [task for task in self._tasks if task is not me]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.connections.close()
        self._is_ended = True
        self.loop.stop()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that a callback or a task of the loop has raised."""
    error = context.get("exception")
    if isinstance(error, BlockingIOError):  # gRPC's loops wake each other, and one comes too late
        logger.debug("An event of gRPC was taken by another loop.")
        return
    logger.error(
        "A step of Relé's consumers has failed, which is an error in Relé; they go on: %s",
        context.get("message") or error,
        exc_info=error,
    )
