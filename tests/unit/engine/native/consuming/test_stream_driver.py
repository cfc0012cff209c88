from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rele.engine.native.consuming.pull_calls import KEEPALIVE
from rele.engine.native.consuming.stream_driver import StreamDriver


class Call:
    """A call whose requests are written when the test says so."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.may_go_on = asyncio.Event()

    async def write(self, request: bytes) -> None:
        self.written.append(request)
        await self.may_go_on.wait()

    async def read(self) -> bytes:
        return await asyncio.Future()

    def cancel(self) -> None:
        pass


class Loop:
    """A loop whose one connection carries one call."""

    def __init__(self, call: Call) -> None:
        self.connections = self
        self.call = call

    begin = staticmethod(asyncio.ensure_future)

    @asynccontextmanager
    async def lend(self, stream: Any) -> AsyncIterator[Any]:
        yield self

    def stream_stream(self, method: str) -> Any:
        return lambda metadata: self.call


async def _opened(call: Call) -> StreamDriver:
    loop: Any = Loop(call)
    driver = StreamDriver(loop, b"first", (), receive=lambda _: None, end=lambda _: None)
    while not call.written:
        await asyncio.sleep(0)
    return driver


def test_no_keepalive_is_written_while_a_stream_is_being_opened() -> None:
    """The server would take it for the first request, or gRPC would end the call."""

    async def scenario() -> list[bytes]:
        call = Call()
        driver = await _opened(call)
        await driver.ping()
        return call.written

    assert asyncio.run(scenario()) == [b"first"]


def test_no_keepalive_is_written_while_another_one_is() -> None:
    async def scenario() -> list[bytes]:
        call = Call()
        driver = await _opened(call)
        call.may_go_on.set()
        await asyncio.sleep(0)
        call.may_go_on.clear()
        first = asyncio.ensure_future(driver.ping())
        await asyncio.sleep(0)
        await driver.ping()
        call.may_go_on.set()
        await first
        await driver.ping()
        return call.written

    assert asyncio.run(scenario()) == [b"first", KEEPALIVE, KEEPALIVE]
