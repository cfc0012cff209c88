from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from rele.engine.google.scheduler import DrainingScheduler
from tests.support.deliveries import Delivery
from tests.support.inbox import Inbox
from tests.support.recorder import raising
from tests.support.virtual_time import VirtualTime
from tests.unit.engine.conftest import Handler


class TestDrainingScheduler:
    @pytest.fixture
    def executor(self, handler: Handler) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(1) as executor:
            yield executor
            handler.let_end()

    @pytest.fixture
    def time(self) -> VirtualTime:
        return VirtualTime()

    @pytest.fixture
    def scheduler(self, executor: ThreadPoolExecutor, time: VirtualTime) -> DrainingScheduler:
        return DrainingScheduler(executor, 1, time, name="photos")

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

    def test_at_shutdown_what_was_not_begun_is_nacked_before_what_runs_has_ended(
        self,
        scheduler: DrainingScheduler,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        nacked = Inbox()
        running, waiting = Delivery(b"", {}), [Delivery(b"", {}) for _ in range(3)]
        for delivery in (running, *waiting):
            delivery.message.nack = lambda d=delivery: nacked.put(d)  # type: ignore[method-assign]
            scheduler.schedule(handler, delivery.message)
        handler.begun.wait_for(1)

        shutting_down = in_thread(scheduler.shutdown)

        assert nacked.wait_for(3) == waiting
        assert shutting_down.is_alive()
        assert handler.ended.items == []
        handler.let_end()
        shutting_down.join(10)
        assert running.settlements() == ["ack"]
        assert len(handler.begun.items) == 1
        assert "3 message(s) that were not begun are nacked" in caplog.text

    def test_leaves_google_nothing_to_nack(
        self, scheduler: DrainingScheduler, handler: Handler
    ) -> None:
        for _ in range(2):
            scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        scheduler.set_deadline(0)

        assert scheduler.shutdown(await_msg_callbacks=True) == []

    def test_nacks_what_arrives_after_shutdown(
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
        time: VirtualTime,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
    ) -> None:
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        shutting_down = in_thread(scheduler.shutdown)

        scheduler.set_deadline(time.now() + 30)
        time.advance(29)
        assert shutting_down.is_alive()
        time.advance(1)

        shutting_down.join(10)
        assert not shutting_down.is_alive()
        assert scheduler.running == 1

    def test_reports_its_shutdown_before_it_waits(
        self,
        scheduler: DrainingScheduler,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
    ) -> None:
        called = Inbox()
        scheduler.on_shutdown = lambda: called.put("called")
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)

        in_thread(scheduler.shutdown)

        assert called.wait_for(1) == ["called"]
        assert handler.ended.items == []
        handler.let_end()

    def test_nacks_what_was_not_begun_although_what_is_called_then_raises(
        self, scheduler: DrainingScheduler, handler: Handler
    ) -> None:
        scheduler.on_shutdown = raising(RuntimeError("no thread"))
        waiting = Delivery(b"", {})
        scheduler.schedule(handler, Delivery(b"", {}).message)
        handler.begun.wait_for(1)
        scheduler.schedule(handler, waiting.message)
        scheduler.set_deadline(0)

        with suppress(RuntimeError):
            scheduler.shutdown()

        assert waiting.settlements() == ["nack"]

    def test_what_the_client_holds_is_nacked_with_what_waits(
        self, scheduler: DrainingScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        scheduler.nack_held = lambda: 7

        scheduler.shutdown()

        assert "7 message(s) that were not begun are nacked" in caplog.text

    def test_a_failure_to_nack_that_is_logged_and_not_in_the_way(
        self, scheduler: DrainingScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        called = Inbox()
        scheduler.on_shutdown = lambda: called.put("called")
        scheduler.nack_held = raising(AttributeError("_messages_on_hold"))

        scheduler.shutdown()

        assert called.items == ["called"]
        assert "redelivered when their ack deadlines have passed" in caplog.text

    @pytest.fixture
    def no_thread(
        self, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """No thread can be started for a while."""
        with monkeypatch.context() as patched:
            error = RuntimeError("can't start new thread")
            patched.setattr(threading.Thread, "start", raising(error))
            yield

    @pytest.mark.usefixtures("no_thread")
    def test_a_message_without_a_thread_is_nacked_and_that_is_logged_once_a_minute(
        self, scheduler: DrainingScheduler, time: VirtualTime, caplog: pytest.LogCaptureFixture
    ) -> None:
        deliveries = [Delivery(b"", {}) for _ in range(20)]
        for delivery in deliveries:
            scheduler.schedule(raising(AssertionError("begun")), delivery.message)
        time.advance(60)
        scheduler.schedule(raising(AssertionError("begun")), Delivery(b"", {}).message)

        assert [delivery.settlements() for delivery in deliveries] == [["nack"]] * 20
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
        assert "No thread can be started for the handlers of photos" in caplog.text

    def test_when_threads_can_be_started_again_messages_are_handled(
        self, scheduler: DrainingScheduler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused, handled = Delivery(b"", {}), Inbox()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", raising(RuntimeError("no thread")))
            scheduler.schedule(handled.put, refused.message)

        for number in range(20):
            scheduler.schedule(handled.put, number)

        assert handled.wait_for(20) == list(range(20))
        assert refused.settlements() == ["nack"]

    def test_a_message_waits_for_the_threads_that_run_where_no_more_can_be_started(
        self, handler: Handler, time: VirtualTime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        handled = Inbox()
        with ThreadPoolExecutor(2) as executor:
            scheduler = DrainingScheduler(executor, 2, time)
            scheduler.schedule(handler, Delivery(b"", {}).message)
            handler.begun.wait_for(1)
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", raising(RuntimeError("no thread")))
                scheduler.schedule(handled.put, "second")

            assert handled.items == []
            handler.let_end()
            assert handled.wait_for(1) == ["second"]

    def test_what_cannot_even_be_nacked_raises_nothing(
        self, scheduler: DrainingScheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        scheduler.shutdown()
        message = Delivery(b"", {}).message
        message.nack = raising(RuntimeError("broken"))  # type: ignore[method-assign]

        scheduler.schedule(raising(AssertionError("begun")), message)

        assert "A message of photos could not be nacked" in caplog.text
