"""Relé's own publisher without a server: its requests are answered in the sender's thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from rele.engine.connection import Connection
from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.publisher import NativePublisher
from rele.engine.publisher_options import PublisherOptions


@dataclass(frozen=True)
class Answered:
    """The end of a call that was answered at once."""

    request: Request


class AcceptingCalls:
    """Stands in for gRPC: accepts all messages, and counts them by their bytes in the request."""

    def __init__(self) -> None:
        self.accepted: Counter[bytes] = Counter()

    def start(self, request: Request, when_ended: Callable[[Any], object]) -> None:
        self.accepted.update(message.field for message in request.messages)
        when_ended(Answered(request))

    def answer(self, ended: Answered) -> Sequence[str]:
        return [str(number) for number, _ in enumerate(ended.request.messages)]

    def close(self) -> None:
        """Have nothing to close."""


def make_publisher(
    monkeypatch: pytest.MonkeyPatch, options: PublisherOptions | None = None
) -> tuple[NativePublisher, AcceptingCalls]:
    """A publisher whose messages are all accepted, and what counts them."""
    calls = AcceptingCalls()
    monkeypatch.setattr("rele.engine.native.publishing.publisher.Calls", lambda *_: calls)
    return NativePublisher(Connection("project"), options or PublisherOptions()), calls
