"""The one timer of a subscription."""

from __future__ import annotations

import asyncio

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.rpc.alarm import Alarm, backlog_on_loop
from tests.unit.emulator.conftest import Reader


def test_it_rings_once_at_the_earliest_time() -> None:
    async def ring_times() -> tuple[float, list[float]]:
        loop = asyncio.get_running_loop()
        alarm = Alarm(loop)
        rung: list[float] = []
        done = asyncio.Event()
        alarm.action = lambda: (rung.append(loop.time()), done.set())
        earliest = loop.time() + 0.02
        alarm.set(earliest + 100)
        alarm.set(earliest)
        alarm.set(earliest + 0.01)
        await done.wait()
        done.clear()
        # By then a second ring, at the later time, would have come.
        alarm.set(loop.time() + 0.02)
        await done.wait()
        return earliest, rung

    earliest, rung = asyncio.run(ring_times())

    assert len(rung) == 2
    assert earliest - 0.001 <= rung[0] < earliest + 1


def test_a_delivery_state_on_a_loop_advances_by_itself() -> None:
    async def redelivered() -> list[int]:
        backlog = backlog_on_loop(asyncio.get_running_loop())
        reader = Reader(backlog)
        woken = asyncio.Event()
        reader.consumer.on_ready = woken.set
        backlog.publish([StoredMessage(1, 0, b"x")])
        backlog.modify_ack_deadlines([reader.take_one()], [0.01])
        assert reader.take() == []
        await woken.wait()
        return reader.take_ids()

    assert asyncio.run(redelivered()) == [1]
