"""Keeps messages in this process instead of sending them: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from rele.backends import BaseBackend, Message

#: What was published in this process, in order. Clear it before a test; the fixture
#: ``rele_messages`` does.
messages: list[Message] = []


class LocMemBackend(BaseBackend):
    """Appends each message to :data:`rele.backends.locmem.messages`."""

    def __init__(self, config: Any = None) -> None:
        """Make the backend; it needs nothing of ``config``."""

    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        return [_keep(message) for message in messages]


def _keep(message: Message) -> Future[str]:
    messages.append(message)
    future: Future[str] = Future()
    future.set_result(str(len(messages)))
    return future
