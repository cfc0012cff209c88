"""What is done from time to time."""

from __future__ import annotations

import asyncio

from rele.emulator.alarm import delivery_on_loop
from rele.emulator.housekeeping import Housekeeping
from rele.emulator.registry import Registry
from rele.emulator.snapshot_registry import SnapshotRegistry


def test_it_is_done_again_and_again_until_it_is_stopped() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        registry = Registry(lambda ordered: delivery_on_loop(loop, ordered=ordered))
        swept: asyncio.Queue[None] = asyncio.Queue()
        registry.sweep = lambda: swept.put_nowait(None)  # type: ignore[method-assign]
        housekeeping = Housekeeping(loop, registry, SnapshotRegistry(registry), period=0.001)
        housekeeping.start()
        for _ in range(3):
            await asyncio.wait_for(swept.get(), 10)
        housekeeping.stop()
        while not swept.empty():
            swept.get_nowait()
        await asyncio.sleep(0.01)
        assert swept.empty()

    asyncio.run(run())
