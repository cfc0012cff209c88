"""Keeps messages in this process instead of sending them: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any

from rele.backends import Accepted, BaseBackend, Deferred, Message, scheduled

#: The messages that were published in this process, in order. Clear it before a test; the fixture
#: ``rele_messages`` does.
messages: list[Message] = []


class LocMemBackend(BaseBackend):
    """Appends each message to a list, by default :data:`rele.backends.locmem.messages`.

    A message that is to be sent later is there at once, with its ``when``, until it is cancelled.
    """

    def __init__(self, config: Any = None, *, messages: list[Message] = messages) -> None:
        """Make the backend; ``config`` is not used."""
        self._messages = messages

    def send(self, messages: Sequence[Message]) -> list[Accepted]:
        return [self._keep(message) for message in messages]

    def send_later(self, message: Message, when: datetime | timedelta) -> Deferred:
        event_id, kept = scheduled(message, when)
        self._messages.append(kept)
        return Deferred(event_id)

    def cancel_scheduled(self, event_id: str) -> bool:
        cancelled = [
            message
            for message in self._messages
            if message.when is not None and message.attributes["event_id"] == event_id
        ]
        for message in cancelled:
            self._messages.remove(message)
        return bool(cancelled)

    def _keep(self, message: Message) -> Accepted:
        self._messages.append(message)
        future: Future[str] = Future()
        future.set_result(str(len(self._messages)))
        return Accepted(future)
