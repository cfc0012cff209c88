"""Writes messages to a stream instead of sending them: for development."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, TextIO

from rele.backends import Accepted, BaseBackend, Message, Refused

_MAX_CHARACTERS = 500


class ConsoleBackend(BaseBackend):
    """Writes a line for each message to ``stream`` (by default the standard output)."""

    def __init__(self, config: Any = None, *, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def send(self, messages: Sequence[Message]) -> list[Accepted | Refused]:
        return [self._write(message) for message in messages]

    def _write(self, message: Message) -> Accepted | Refused:
        future: Future[str] = Future()
        message_id = str(next(self._numbers))
        stream = self._stream or sys.stdout
        try:
            with self._lock:
                stream.write(f"{describe(message)}\n")
                stream.flush()
        except (OSError, ValueError) as error:  # the stream is gone, or closed
            return Refused(error)
        future.set_result(message_id)
        return Accepted(future)


def describe(message: Message) -> str:
    """The message as one line that a person can read: topic, payload, attributes, key."""
    text = message.data.decode("utf-8", errors="backslashreplace")
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}… ({len(message.data)} bytes)"
    attributes = (f"{key}={value!r}" for key, value in sorted(message.attributes.items()))
    parts = [f"[{message.topic}]", text, *attributes]
    if message.ordering_key:
        parts.append(f"ordering_key={message.ordering_key!r}")
    return " ".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in p) for p in parts)
