from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from rele.sending.blocking import BlockingCall
from tests.support.backends import HeldBackend


class Publication:
    topic = "photos"

    def __init__(self) -> None:
        self.errors: list[BaseException | None] = []

    def conclude(self, error: BaseException | None) -> None:
        self.errors.append(error)


def test_a_future_that_is_done_and_not_reported_is_an_outcome() -> None:
    publication: Any = Publication()
    future: Future[str] = Future()
    future.set_result("id")

    errors = BlockingCall(HeldBackend(), timeout=60).wait({publication: future})

    assert errors == {publication: None}
    assert publication.errors == [None]
