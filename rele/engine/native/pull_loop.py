"""The event loop in which all consumers of a process have their streams and calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rele.engine.native.pull_availability import PullAvailability
from rele.engine.threads import start_thread
from rele.exceptions import ThreadStartError

T = TypeVar("T")

logger = logging.getLogger(__name__)

STREAMS_OF_CONNECTION = 50
"""Google's front end allows 100 streams of a connection, and a call beyond them waits."""


class PullLoop:
    """One thread with an event loop, and its connections.

    A connection for calls carries no stream, so that an acknowledgement never waits for one.

    Args:
        open_channel: opens an asyncio channel; called in the loop.
        address: the server's address, for the log.
    """

    def __init__(self, open_channel: Callable[[], Any], address: str) -> None:
        self._open_channel = open_channel
        self.loop: asyncio.AbstractEventLoop
        self._for_streams: list[tuple[Any, list[None]]] = []
        self._for_calls: Any = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_started = False
        self.availability = PullAvailability(address, self._channels)

    def _channels(self) -> list[Any]:
        return [channel for channel, _ in self._for_streams]

    def start(self) -> None:
        """Start the thread, unless it runs.

        Raises:
            ThreadStartError: the system starts no more threads.
        """
        if not self._is_started:
            loop = asyncio.new_event_loop()
            try:
                start_thread("rele-consumer", lambda: self._run(loop))
            except ThreadStartError:
                loop.close()
                raise
            self.loop = loop
            self._is_started = True

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """From any thread, let the loop call ``function`` soon."""
        self.loop.call_soon_threadsafe(function, *args)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """In the loop: run ``coroutine`` as a task."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def now(self) -> float:
        """The time of the loop, in seconds, as ``time.monotonic()``."""
        return self.loop.time()

    def channel_for_calls(self) -> Any:
        """In the loop: the connection without streams."""
        if self._for_calls is None:
            self._for_calls = self._open_channel()
        return self._for_calls

    @contextmanager
    def lent_channel(self) -> Iterator[Any]:
        """In the loop: a connection with room for another stream, within the block."""
        for channel, streams in self._for_streams:  # noqa: B007 - used after the loop
            if len(streams) < STREAMS_OF_CONNECTION:
                break
        else:
            channel, streams = self._open_channel(), []
            self._for_streams.append((channel, streams))
        streams.append(None)
        try:
            yield channel
        finally:
            streams.pop()

    def stop(self) -> None:
        """End all tasks, close the connections, and end the thread. Does not wait."""
        if self._is_started:
            self.call(lambda: self.begin(self._close()))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.close()

    async def _close(self) -> None:
        me = asyncio.current_task()
        others = [task for task in self._tasks if task is not me]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for channel in (self._for_calls, *(channel for channel, _ in self._for_streams)):
            if channel is not None:
                await channel.close()
        self.loop.stop()
