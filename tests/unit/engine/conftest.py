"""What the tests of the engine share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rele.engine.base import Message
from tests.support.inbox import Inbox

FOREVER = float("inf")


class Handler:
    """A callback that begins, and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = Inbox()
        self.ended = Inbox()
        self._may_end = threading.Event()

    def __call__(self, message: Message) -> None:
        self.begun.put(message)
        assert self._may_end.wait(10)
        message.ack()
        self.ended.put(message)

    def let_end(self) -> None:
        self._may_end.set()


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    yield handler
    handler.let_end()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """Call a function in a thread, which must have ended when the test does."""
    threads: list[threading.Thread] = []

    def start(function: Callable[..., Any], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments)
        thread.start()
        threads.append(thread)
        return thread

    yield start
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
