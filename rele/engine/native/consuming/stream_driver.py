"""One stream of a subscription, made with gRPC in the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
from google.api_core.exceptions import from_grpc_status

from rele.engine.native.consuming import pull_calls
from rele.engine.native.consuming.pull_loop import PullLoop
from rele.exceptions import ThreadStartError

_LAST_MESSAGES = 1.0
_LAST_MESSAGES_UNANSWERED = 0.2
"""Seconds that a stream may take to end, after which it is cancelled; the second one where nothing
was received on it, as from a server that is silent."""


class StreamDriver:
    """Opens a stream, reads it until it ends, and writes keepalives. Used in the loop alone.

    Args:
        loop: where it runs.
        first_request: what opens it.
        headers: what is sent before.
        receive: called with each response.
        end: called once, with the error that ended the stream; ``None`` if there was none.
    """

    def __init__(
        self,
        loop: PullLoop,
        first_request: bytes,
        headers: tuple[tuple[str, str], ...],
        receive: Callable[[bytes], None],
        end: Callable[[BaseException | None], None],
    ) -> None:
        self._loop = loop
        self._first_request = first_request
        self._headers = headers
        self._receive = receive
        self._end = end
        self._call: Any = None
        self._has_received = False
        self._may_write = False
        """Whether the first request was written, and nothing is being written: gRPC ends a call on
        which two requests are written at a time."""
        self.is_written = False
        """Whether there is a connection, and the first request was written to it."""
        self.is_cut_off = False
        """Whether it was ended because the process forks."""
        self._task = loop.begin(self._read())
        # A task that is cancelled before it has begun runs no code of its own.
        self._task.add_done_callback(self._note_done)

    async def ping(self) -> None:
        """Write a keepalive, if the stream is open."""
        if self._call is not None and self._may_write:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await self._write(self._call, pull_calls.KEEPALIVE)

    async def half_close(self, within: float | None = None) -> None:
        """End the stream, but take what the server has already sent on it.

        Args:
            within: seconds after which it is cancelled; by default as long as messages may take.
        """
        if within is None:
            within = _LAST_MESSAGES if self._has_received else _LAST_MESSAGES_UNANSWERED
        if self._call is not None:
            writing = asyncio.ensure_future(_done_writing(self._call))
            await asyncio.wait([self._task], timeout=within)
            writing.cancel()
        self._task.cancel()

    def cancel(self) -> None:
        """End the stream at once."""
        self._task.cancel()

    def _note_done(self, task: asyncio.Task[BaseException | None]) -> None:
        self._call = None
        if task.cancelled():
            self._end(asyncio.CancelledError())
        elif task.exception() is not None:  # the loop has logged it
            self._end(None)
        else:
            self._end(task.result())

    async def _read(self) -> BaseException | None:
        """Read until the stream ends; return the error that ended it.

        Raises:
            Exception: what ``receive`` raises; the stream has ended then, too.
        """
        try:
            async with self._loop.connections.lend(self) as channel:
                return await self._read_from(channel)
        except grpc.aio.AioRpcError as error:
            return _error_of(error.code(), error.details())
        except (asyncio.InvalidStateError, ThreadStartError) as error:
            # Without its traceback, which would keep the call alive.
            return error.with_traceback(None)

    async def _read_from(self, channel: Any) -> BaseException | None:
        call = self._call = channel.stream_stream(pull_calls.STREAMING_PULL)(metadata=self._headers)
        try:
            await self._write(call, self._first_request)
            while (response := await call.read()) is not grpc.aio.EOF:
                self._has_received = True
                self._loop.connections.note_answer()
                self._receive(response)
            code = await call.code()
            return None if code is grpc.StatusCode.OK else _error_of(code, await call.details())
        finally:
            call.cancel()

    async def _write(self, call: Any, request: bytes) -> None:
        self._may_write = False
        await call.write(request)
        self._may_write = self.is_written = True


async def _done_writing(call: Any) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.done_writing()


def _error_of(code: grpc.StatusCode, details: str | None) -> BaseException:
    error: BaseException = from_grpc_status(code, details)  # type: ignore[no-untyped-call]
    return error
