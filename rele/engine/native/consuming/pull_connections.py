"""The connections of a consuming process, with the streams and calls on them. Used in its loop.

All of them can be ended and opened again, for a fork: gRPC's asyncio API has a thread of its own
while anything of it exists, and a child that inherits the traces of that thread crashes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Protocol

import grpc

from rele.engine.native import forking
from rele.engine.native.grpc_threads import can_open_first_channel, poller_is_alive
from rele.exceptions import ThreadStartError

Headers = tuple[tuple[str, str], ...]

logger = logging.getLogger(__name__)

STREAMS_OF_CONNECTION = 50
"""Google's front end allows 100 streams a connection, and a call beyond them waits."""

CALLS_OF_CONNECTION = 50
CONNECTIONS_FOR_CALLS = 4
"""The most calls on a connection, and the most connections for them; further calls wait."""

LONGEST_END = 1.0
"""Seconds, before a fork, that streams have to deliver what the server has sent on them, and calls
to be answered. Then streams are cancelled, and calls are repeated after the fork."""

QUIET_AFTER_FORK = 0.02
"""Seconds without another fork after which streams are opened again: a pool of processes is started
by several forks."""

LONGEST_WITHOUT_STREAMS = 0.5
"""Seconds after which streams are opened again however soon the next fork may be."""

LONGEST_END_OF_POLLER = 0.2
"""Seconds to wait for the end of gRPC's thread: others may use its asyncio API, too."""

_NO_ANSWERS = frozenset(
    (
        *(grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED),
        *(grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
)
"""What a call may end with while the service does not work."""

_PAUSE = 0.001


class _Carrier:
    """One connection.

    Args:
        channel: an open asyncio channel.
        is_for_streams: whether it carries streams, rather than calls.
    """

    def __init__(self, channel: Any, *, is_for_streams: bool) -> None:
        self.channel = channel
        self.is_for_streams = is_for_streams
        self.used = 0
        """How many streams or calls it carries."""
        self.is_replaced = False
        """Whether nothing more begins on it."""


class Stream(Protocol):
    """An open stream: :class:`rele.engine.native.consuming.stream_driver.StreamDriver`."""

    is_cut_off: bool
    """Whether it was ended because the process forks."""

    async def half_close(self, within: float) -> None:
        """End it within so many seconds, but take what the server has already sent on it."""

    def cancel(self) -> object:
        """End it at once."""


async def _wait_for(event: asyncio.Event) -> None:
    """Return while ``event`` is set: it may have been cleared again when a waiter runs."""
    while not event.is_set():
        await event.wait()


async def _end_of_poller() -> None:
    """Wait for the end of gRPC's thread, which the last events of ended calls keep alive."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LONGEST_END_OF_POLLER
    collect_at = loop.time() + LONGEST_END_OF_POLLER / 4
    while poller_is_alive() and loop.time() < until:
        if loop.time() >= collect_at:
            gc.collect()
            collect_at = until
        await asyncio.sleep(_PAUSE)


class PullConnections:
    """Connections for streams, and others for calls, so that an ack never waits for a stream.

    Args:
        open_channel: opens an asyncio channel.
    """

    def __init__(self, open_channel: Callable[[], Any]) -> None:
        self._open_channel = open_channel
        self._carriers: list[_Carrier] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._streams: set[Stream] = set()
        self._calls: set[Any] = set()
        self._cut_off: set[Any] = set()
        """Calls that were cancelled for a fork, and are repeated after it."""
        self.answered_at: float | None = None
        """When the server has answered last, by the clock of the loop."""
        self._room_for_calls = asyncio.Semaphore(CALLS_OF_CONNECTION * CONNECTIONS_FOR_CALLS)
        self._may_call = asyncio.Event()
        self._may_stream = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._without_streams_since = 0.0
        self._may_stream.set()
        self._may_call.set()

    @property
    def channels(self) -> list[Any]:
        """The channels for streams."""
        return [carrier.channel for carrier in self._carriers if carrier.is_for_streams]

    @asynccontextmanager
    async def lend(self, stream: Stream) -> AsyncIterator[Any]:
        """A channel with room for ``stream``, for the block; not amid a fork, or soon after one."""
        await _wait_for(self._may_stream)
        self._streams.add(stream)
        try:
            with self._used(for_streams=True, at_most=STREAMS_OF_CONNECTION) as carrier:
                yield carrier.channel
        finally:
            self._streams.discard(stream)

    async def send(self, method: str, request: bytes, headers: Headers, timeout: float) -> None:
        """Make one call; again after a fork that has cut it off.

        Raises:
            grpc.aio.AioRpcError: it has failed.
        """
        async with self._room_for_calls:
            while not await self._try(method, request, headers, timeout):
                pass

    async def ask(self, method: str, request: bytes, headers: Headers, timeout: float) -> None:
        """Make one call for which it does not matter how it is answered."""
        with suppress(grpc.aio.AioRpcError):
            await self.send(method, request, headers, timeout)

    async def _try(self, method: str, request: bytes, headers: Headers, timeout: float) -> bool:
        await _wait_for(self._may_call)
        with self._used(for_streams=False, at_most=CALLS_OF_CONNECTION) as carrier:
            call = carrier.channel.unary_unary(method)(
                request, metadata=headers, timeout=timeout, wait_for_ready=True
            )
            self._calls.add(call)
            try:
                await call
                self.note_answer()
            except asyncio.CancelledError:
                if call in self._cut_off:
                    return False
                raise
            except grpc.aio.AioRpcError as error:
                # The connection may be dead: the system notices that late.
                late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                carrier.is_replaced = carrier.is_replaced or late
                if error.code() not in _NO_ANSWERS:
                    self.note_answer()
                raise
            finally:
                self._calls.discard(call)
                self._cut_off.discard(call)
        return True

    def note_answer(self) -> None:
        """Note that the server has answered a call, or sent something on a stream."""
        self.answered_at = asyncio.get_running_loop().time()

    @contextmanager
    def _used(self, *, for_streams: bool, at_most: int) -> Iterator[_Carrier]:
        """A connection with fewer uses than ``at_most``; a new one where there is none."""
        for carrier in self._carriers:
            has_room = carrier.used < at_most and not carrier.is_replaced
            if has_room and carrier.is_for_streams is for_streams:
                break
        else:
            carrier = _Carrier(self._open(), is_for_streams=for_streams)
            self._carriers.append(carrier)
        carrier.used += 1
        try:
            yield carrier
        finally:
            carrier.used -= 1
            self._tidy(carrier)

    def _open(self) -> Any:
        if not poller_is_alive() and not can_open_first_channel():
            raise ThreadStartError("gRPC")
        try:
            return self._open_channel()
        finally:
            forking.register()

    def _tidy(self, carrier: _Carrier) -> None:
        """Close a connection that nothing uses any more, if there is another one."""
        others = (each for each in self._carriers if each is not carrier)
        is_spare = carrier.is_for_streams and any(each.is_for_streams for each in others)
        if not carrier.used and (is_spare or carrier.is_replaced) and carrier in self._carriers:
            self._carriers.remove(carrier)
            task = asyncio.ensure_future(carrier.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def end(self) -> None:
        """End all streams and calls and close the connections, as a fork needs it.

        What is cut off is not lost: the server's last messages are taken, and calls are repeated
        after :meth:`resume`.
        """
        loop = asyncio.get_running_loop()
        self._forbid(loop.time())
        until = loop.time() + LONGEST_END
        for stream in self._streams:
            stream.is_cut_off = True
        await asyncio.gather(*(each.half_close(LONGEST_END) for each in list(self._streams)))
        while self._calls and loop.time() < until:
            await asyncio.sleep(_PAUSE)
        while self._calls or self._streams:
            self._cut_off |= self._calls
            for each in (*self._calls, *self._streams):
                each.cancel()
            await asyncio.sleep(_PAUSE)
        await self.close()
        await _end_of_poller()

    def resume(self) -> None:
        """Let calls begin again, and streams a little later."""
        self._may_call.set()
        loop = asyncio.get_running_loop()
        is_long = loop.time() - self._without_streams_since > LONGEST_WITHOUT_STREAMS
        self._timer = loop.call_later(0 if is_long else QUIET_AFTER_FORK, self._may_stream.set)

    def _forbid(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._may_stream.is_set():
            self._without_streams_since = now
        self._may_stream.clear()
        self._may_call.clear()

    async def close(self) -> None:
        """Close all connections, once nothing uses them."""
        carriers, self._carriers = self._carriers, []
        for carrier in carriers:
            await carrier.channel.close()
        await asyncio.gather(*self._closing)
