"""Handlers that end after their engine was closed: nothing is logged that nobody can act upon."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from rele.engine.connection import Connection
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine
from tests.support.handled import PROJECT
from tests.support.inbox import Inbox
from tests.support.polling import wait_until
from tests.support.pull_server import PullServer


def ended_by_name(name: str) -> bool:
    return not any(thread.name == name for thread in threading.enumerate())


@pytest.mark.parametrize("asks", [False, True])
def test_a_handler_that_acks_after_its_engine_was_closed_logs_nothing(
    pull_server: PullServer, caplog: pytest.LogCaptureFixture, asks: bool
) -> None:
    begun, ended, may_end = Inbox(), Inbox(), threading.Event()

    def handle(message: Any) -> None:
        begun.put(message)
        assert may_end.wait(20)
        response = message.ack_with_response() if asks else message.ack()
        ended.put(response.exception(10) if asks else None)

    engine = PullEngine(Connection(PROJECT))
    consumer = engine.consumer("orders", handle, ConsumerOptions(1), lambda: True)
    consumer.open()
    pull_server.streams.wait_for(1)[0].deliver(b"1")
    begun.wait_for(1)
    consumer.drain(time.monotonic())
    assert consumer.join(time.monotonic()) == 1
    engine.close()
    wait_until(lambda: ended_by_name("rele-consumer"), 20)

    may_end.set()

    [error] = ended.wait_for(1)
    assert (error is not None) == asks
    wait_until(lambda: consumer.running == 0, 20)
    assert [each for each in caplog.messages if "RuntimeError" in each or "raised" in each] == []
    assert "Event loop is closed" not in caplog.text


class Stubborn:
    """An async handler that ignores its cancellation."""

    def __init__(self) -> None:
        self.begun = Inbox()

    def __call__(self, message: Any) -> None:
        raise NotImplementedError

    async def handle_async(self, message: Any, run: Any) -> None:
        self.begun.put(message.message_id)
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue


def test_a_task_that_ignores_its_cancellation_is_logged_once_and_not_as_destroyed(
    pull_server: PullServer, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Stubborn()
    engine = PullEngine(Connection(PROJECT))
    options = ConsumerOptions(2, is_async=True)
    consumer = engine.consumer("orders", handler, options, lambda: True)
    consumer.open()
    pull_server.streams.wait_for(1)[0].deliver(b"1", b"2")
    handler.begun.wait_for(2)

    consumer.drain(time.monotonic())
    consumer.join(time.monotonic())
    engine.close()
    wait_until(lambda: ended_by_name("rele-async-handlers"), 20)
    wait_until(lambda: ended_by_name("rele-consumer"), 20)
    del consumer, engine
    gc.collect()

    assert "Task was destroyed" not in caplog.text
    assert caplog.text.count("are cancelled") == 1
