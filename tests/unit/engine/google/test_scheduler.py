from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from rele.engine.google.scheduler import DrainingScheduler
from tests.support.inbox import Inbox
from tests.unit.conftest import Delivery, raising
from tests.unit.engine.conftest import Handler


class TestDrainingScheduler:
    @pytest.fixture
    def executor(self, handler: Handler) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(1) as executor:
            yield executor
            handler.let_end()

    @pytest.fixture
    def scheduler(self, executor: ThreadPoolExecutor) -> DrainingScheduler:
        return DrainingScheduler(executor)

    def test_runs_the_callback_with_each_message_in_order(
        self, scheduler: DrainingScheduler
    ) -> None:
        handled = Inbox()

        for number in range(100):
            scheduler.schedule(handled.put, number)

        assert handled.wait_for(100) == list(range(100))

    def test_counts_what_runs(
        self, scheduler: DrainingScheduler, executor: ThreadPoolExecutor, handler: Handler
    ) -> None:
        assert scheduler.running == 0
        for _ in range(3):
            scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        assert scheduler.running == 1

        handler.let_end()
        executor.shutdown(wait=True)

        assert scheduler.running == 0
        assert len(handler.ended.items) == 3

    @pytest.mark.parametrize("error", [ValueError(), SystemExit(1)])
    def test_a_callback_that_raises_is_not_counted_for_ever(
        self, scheduler: DrainingScheduler, error: BaseException
    ) -> None:
        handled = Inbox()
        scheduler.schedule(raising(error), "message")
        scheduler.schedule(handled.put, "another")

        handled.wait_for(1)
        scheduler.shutdown()

        assert scheduler.running == 0

    def test_at_shutdown_what_was_not_begun_is_handed_back_before_what_runs_has_ended(
        self,
        scheduler: DrainingScheduler,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        handed_back = Inbox()
        running, waiting = Delivery(b"", {}), [Delivery(b"", {}) for _ in range(3)]
        for delivery in (running, *waiting):
            delivery.message.nack = lambda d=delivery: handed_back.put(d)  # type: ignore[method-assign]
            scheduler.schedule(handler, delivery.message)
        handler.begun.wait_for(1)

        shutting_down = in_thread(scheduler.shutdown)

        assert handed_back.wait_for(3) == waiting
        assert shutting_down.is_alive()
        assert handler.ended.items == []
        handler.let_end()
        shutting_down.join(10)
        assert running.settlements() == ["ack"]
        assert len(handler.begun.items) == 1
        assert "3 message(s) that were not begun are handed back" in caplog.text

    def test_leaves_google_nothing_to_hand_back(
        self, scheduler: DrainingScheduler, handler: Handler
    ) -> None:
        for _ in range(2):
            scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        scheduler.set_deadline(0)

        assert scheduler.shutdown(await_msg_callbacks=True) == []

    def test_hands_back_what_comes_after_shutdown(
        self, scheduler: DrainingScheduler, handler: Handler
    ) -> None:
        scheduler.shutdown()
        late = Delivery(b"", {})

        scheduler.schedule(handler, late.message)

        assert late.settlements() == ["nack"]
        assert handler.begun.items == []

    def test_a_deadline_ends_a_wait_that_has_begun(
        self,
        scheduler: DrainingScheduler,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
    ) -> None:
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        shutting_down = in_thread(scheduler.shutdown)

        scheduler.set_deadline(time.monotonic())

        shutting_down.join(10)
        assert not shutting_down.is_alive()
        assert scheduler.running == 1

    def test_tells_of_its_shutdown_before_it_waits(
        self,
        executor: ThreadPoolExecutor,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
    ) -> None:
        told = Inbox()
        scheduler = DrainingScheduler(executor, on_shutdown=lambda: told.put("told"))
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)

        in_thread(scheduler.shutdown)

        assert told.wait_for(1) == ["told"]
        assert handler.ended.items == []
        handler.let_end()

    def test_hands_back_what_was_not_begun_although_who_is_told_raises(
        self, executor: ThreadPoolExecutor, handler: Handler
    ) -> None:
        scheduler = DrainingScheduler(executor, on_shutdown=raising(RuntimeError("no thread")))
        waiting = Delivery(b"", {})
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        scheduler.schedule(handler, waiting.message)
        scheduler.set_deadline(0)

        with suppress(RuntimeError):
            scheduler.shutdown()

        assert waiting.settlements() == ["nack"]

    def test_what_the_client_holds_is_handed_back_with_what_waits(
        self, scheduler: DrainingScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        scheduler.hand_back_held = lambda: 7

        scheduler.shutdown()

        assert "7 message(s) that were not begun are handed back" in caplog.text

    def test_a_failure_to_hand_that_back_is_logged_and_not_in_the_way(
        self, executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
    ) -> None:
        told = Inbox()
        scheduler = DrainingScheduler(executor, on_shutdown=lambda: told.put("told"))
        scheduler.hand_back_held = raising(AttributeError("_messages_on_hold"))

        scheduler.shutdown()

        assert told.items == ["told"]
        assert "comes again when its deadline is over" in caplog.text
