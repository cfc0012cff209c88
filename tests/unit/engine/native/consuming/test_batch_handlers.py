"""Batches that are handed to threads."""

from __future__ import annotations

from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from rele.engine.native.consuming.batch_handlers import BatchHandlers
from rele.engine.native.consuming.batching import Batching
from rele.engine.native.consuming.delivery import Delivery
from rele.engine.native.consuming.handler_threads import HandlerThreads
from rele.exceptions import ThreadStartError


class Driver:
    """What a consumer does with its handlers."""

    def __init__(self, threads: int = 1, max_messages: int = 2) -> None:
        self.handled: SimpleQueue[list[str]] = SimpleQueue()
        self.ended: SimpleQueue[Sequence[Delivery]] = SimpleQueue()
        self.not_begun: set[str] = set()
        self.error: BaseException | None = None
        self.now = 0.0
        self.threads = HandlerThreads("test-handler", idle_seconds=0)
        self.handlers = BatchHandlers(
            threads,
            Batching(max_messages, 10),
            self.threads,
            begin=lambda batch: [
                each.message_id for each in batch if each.message_id not in self.not_begun
            ],
            handle=self.handle,
            end=self.ended.put,
            now=lambda: self.now,
        )

    def handle(self, messages: list[str], *, leaves_followers: bool) -> None:
        assert leaves_followers
        self.handled.put(messages)
        if self.error:
            raise self.error

    def add(self, *names: str, key: str = "") -> None:
        for name in names:
            delivery = Delivery(f"ack-{name}", name, key)
            delivery.message = name
            self.handlers.add([delivery])
        self.handlers.start()

    def finish(self) -> list[str]:
        """Go on after a batch; return the names of what it had."""
        batch = self.ended.get(timeout=10)
        self.handlers.finish(batch, lambda delivery: True)
        self.handlers.start()
        return [delivery.message_id for delivery in batch]


def test_as_many_batches_are_handled_as_there_are_threads() -> None:
    driver = Driver(threads=1)
    driver.add("a", "b", "c", "d")

    assert driver.handled.get(timeout=10) == ["a", "b"]
    assert driver.handlers.running == 1
    assert driver.handlers.next_due() is None, "nothing can begin before that batch has ended"
    assert driver.finish() == ["a", "b"]
    assert driver.handled.get(timeout=10) == ["c", "d"]
    assert driver.finish() == ["c", "d"]
    assert driver.handlers.running == 0


def test_what_is_not_leased_any_more_is_not_handled() -> None:
    driver = Driver()
    driver.not_begun = {"a"}
    driver.add("a", "b")

    assert driver.handled.get(timeout=10) == ["b"]
    assert driver.finish() == ["a", "b"]


def test_where_nothing_is_left_nothing_is_handled() -> None:
    driver = Driver()
    driver.not_begun = {"a", "b"}
    driver.add("a", "b")

    assert driver.finish() == ["a", "b"]
    assert driver.handled.empty()


def test_an_error_ends_a_batch_as_well(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver()
    driver.error = ValueError("boo")
    driver.add("a", "b")

    assert driver.finish() == ["a", "b"]
    assert "boo" in caplog.text


def test_a_batch_for_which_no_thread_starts_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()

    def fail(*_: Any) -> None:
        raise ThreadStartError("it")

    with monkeypatch.context() as patch:
        patch.setattr(driver.threads, "run", fail)
        with pytest.raises(ThreadStartError):
            driver.add("a", "b")
    assert driver.handlers.running == 0

    driver.handlers.start()
    assert driver.handled.get(timeout=10) == ["a", "b"]
    assert driver.finish() == ["a", "b"]
