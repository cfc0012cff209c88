"""Writes messages to a stream instead of sending them: for development."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any, TextIO

from rele.backends import Accepted, BaseBackend, Deferred, Message, Refused, scheduled

_MAX_CHARACTERS = 500


class ConsoleBackend(BaseBackend):
    """Writes a line for each message to ``stream`` (by default the standard output).

    That of a message which is to be sent later ends with ``when``; a line says if it is cancelled.
    """

    def __init__(self, config: Any = None, *, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._scheduled: set[str] = set()

    def send(self, messages: Sequence[Message]) -> list[Accepted | Refused]:
        return [self._accept(message) for message in messages]

    def send_later(self, message: Message, when: datetime | timedelta) -> Deferred | Refused:
        event_id, later = scheduled(message, when)
        if (error := self._write(describe(later))) is not None:
            return Refused(error)
        self._scheduled.add(event_id)
        return Deferred(event_id)

    def cancel_scheduled(self, event_id: str) -> bool:
        if event_id not in self._scheduled:
            return False
        self._scheduled.discard(event_id)
        self._write(f"cancelled: event_id={event_id!r}")
        return True

    def _accept(self, message: Message) -> Accepted | Refused:
        future: Future[str] = Future()
        message_id = str(next(self._numbers))
        if (error := self._write(describe(message))) is not None:
            return Refused(error)
        future.set_result(message_id)
        return Accepted(future)

    def _write(self, line: str) -> Exception | None:
        stream = self._stream or sys.stdout
        try:
            with self._lock:
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError) as error:  # the stream is gone, or closed
            return error
        return None


def describe(message: Message) -> str:
    """The message as one line that a person can read: topic, payload, attributes, key."""
    text = message.data.decode("utf-8", errors="backslashreplace")
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}… ({len(message.data)} bytes)"
    attributes = (f"{key}={value!r}" for key, value in sorted(message.attributes.items()))
    parts = [f"[{message.topic}]", text, *attributes]
    if message.ordering_key:
        parts.append(f"ordering_key={message.ordering_key!r}")
    if message.when is not None:
        parts.append(f"when={message.when}")
    return " ".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in p) for p in parts)
