"""What is counted: publishing without a connection, in one thread.

``python instructions_publishing.py [--pieces]``, under callgrind: ``getloadavg``, which nothing
else calls, marks where a part begins and ends. The parts are printed in their order, with the
number of messages of each.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import rele
from rele.engine.native.publishing import publisher as native
from rele.engine.native.publishing.lanes import Request
from rele.engine.native.publishing.roles import Role

MESSAGES = 2000
AT_A_TIME = 500
"""Messages that are handed over before what is outstanding is sent."""

TOPIC = "orders"
DATA = {"id": 12345, "text": "x" * 60}
ATTRIBUTES = {"country": "ES"}


@dataclass
class Answer:
    """A request that was accepted."""

    request: Request
    ids: list[str]


@dataclass
class NoCalls:
    """Stands in for the gRPC calls: accepts every request at once."""

    number: int = field(default=10**16)

    def start(self, request: Request, when_ended: Callable[[Any], object]) -> None:
        ids = [str(self.number + each) for each in range(len(request.messages))]
        self.number += len(ids)
        when_ended(Answer(request, ids))

    def answer(self, ended: Answer) -> list[str]:
        return ended.ids

    def close(self) -> None:
        """There is nothing to close."""


def _set_up() -> Any:
    """Let ``rele.publish`` use a sender without threads and calls; return the sender."""
    native.Calls = lambda *args: NoCalls()  # type: ignore[assignment,misc]
    Role.start = lambda self: None  # type: ignore[method-assign]
    settings = {
        "APP_NAME": "benchmark",
        "ENGINE": "rele",
        "GC_PROJECT_ID": "benchmark",
        "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
    }
    rele.setup(settings)
    rele.publish(TOPIC, DATA, **ATTRIBUTES)
    (publisher,) = native._all
    return publisher._sender


def _publish(sender: Any, number: int) -> None:
    """Publish so many messages, until every future is done."""
    futures = []
    for first in range(0, number, AT_A_TIME):
        for _ in range(first, min(first + AT_A_TIME, number)):
            futures.append(rele.publish(TOPIC, DATA, **ATTRIBUTES))
        sender.work_until_idle(time.monotonic() + 600)
    assert all(future.done() for future in futures)


def _count(name: str, part: Callable[[], object]) -> None:
    gc.collect()
    os.getloadavg()
    part()
    os.getloadavg()
    print(name, MESSAGES, sep="\t", flush=True)


def _count_pieces(sender: Any) -> None:
    from instructions_pieces import pieces

    futures: list[Any] = []

    def publish() -> None:
        futures.extend(rele.publish(TOPIC, DATA, **ATTRIBUTES) for _ in range(MESSAGES))

    def work() -> None:
        sender.work_until_idle(time.monotonic() + 600)

    _count("the caller", publish)
    _count("the engine and the hooks after", work)
    for name, piece in pieces(TOPIC, DATA, ATTRIBUTES, MESSAGES + 1):
        piece()  # what is made at the first time does not count
        _count(name, lambda piece=piece: [piece() for _ in range(MESSAGES)])  # type: ignore[misc]
        work()


def main() -> None:
    sender = _set_up()
    _publish(sender, AT_A_TIME)
    _count("publish", lambda: _publish(sender, MESSAGES))
    if "--pieces" in sys.argv:
        _count_pieces(sender)


if __name__ == "__main__":
    main()
