"""Where our own publisher reports outcomes, and what that may delay."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

import rele
from rele.exceptions import PublisherFull
from tests.support.publish_server import PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Recorder]

SUCCESS = "post_publish_success"


def test_a_slow_hook_delays_later_hooks_and_no_request(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()
    goes_on = threading.Event()
    recorder.actions[SUCCESS] = lambda *_: goes_on.wait(20)

    for number in range(50):
        rele.publish("photos", number)
    publish_server.accepted.wait_for(50)
    recorder.wait_for(1)

    assert recorder.names == [SUCCESS]
    goes_on.set()
    recorder.wait_for(50)
    assert {thread.name for thread in recorder.threads} == {"rele-publisher-reports"}


def test_the_hooks_of_a_publish_that_waits_run_in_the_thread_that_waits(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()

    rele.publish("photos", 1, blocking=True, timeout=10)

    assert recorder.threads == [threading.current_thread()]


def test_the_hooks_of_a_task_run_before_it_goes_on(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()

    async def publish() -> list[str]:
        await rele.apublish("photos", 1, timeout=10)
        return recorder.names

    assert asyncio.run(publish()) == [SUCCESS]
    assert [thread.name for thread in recorder.threads] == ["rele-publisher-reports"]


def test_a_task_waits_for_room_while_others_run(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 1})
    held = publish_server.hold()
    rele.publish("photos", 1)

    async def release() -> None:
        held.release()

    async def publish_and_release() -> str:
        with pytest.raises(PublisherFull):
            await rele.apublish("photos", 2, timeout=0.1)
        future, _ = await asyncio.gather(rele.apublish("photos", 3, timeout=60), release())
        return future.result(timeout=0)

    assert asyncio.run(publish_and_release())
    assert publish_server.accepted.items == [b"1", b"3"]
