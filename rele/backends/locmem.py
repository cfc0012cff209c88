"""Keeps messages in this process instead of sending them: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from rele.backends import Accepted, BaseBackend, Message

#: The messages that were published in this process, in order. Clear it before a test; the fixture
#: ``rele_messages`` does.
messages: list[Message] = []


class LocMemBackend(BaseBackend):
    """Appends each message to a list, by default :data:`rele.backends.locmem.messages`."""

    def __init__(self, config: Any = None, *, messages: list[Message] = messages) -> None:
        """Make the backend; ``config`` is not used."""
        self._messages = messages

    def send(self, messages: Sequence[Message]) -> list[Accepted]:
        return [self._keep(message) for message in messages]

    def _keep(self, message: Message) -> Accepted:
        self._messages.append(message)
        future: Future[str] = Future()
        future.set_result(str(len(self._messages)))
        return Accepted(future)
