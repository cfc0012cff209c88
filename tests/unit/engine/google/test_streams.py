"""A stream that is started again whenever it ends, in virtual time."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.streams import RestartingStream
from rele.engine.times import Times
from rele.exceptions import ThreadStartError
from tests.support.deliveries import Delivery
from tests.support.google_streams import Stream
from tests.support.inbox import Inbox
from tests.support.recorder import raising
from tests.support.virtual_time import VirtualTime
from tests.unit.engine.conftest import FOREVER, Handler


class StreamOpener:
    """Opens streams for a RestartingStream, and notes what happens, in order."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.events = Inbox()
        self.fails: dict[str, list[Exception]] = {"open": [], "prepare": []}

    def open_stream(self, scheduler: DrainingScheduler) -> Any:
        self._note("open")
        self.streams.append(Stream(scheduler))
        return self.streams[-1].future

    def prepare(self) -> bool:
        self._note("prepare")
        return True

    def schedule(self, callback: Callable[[Any], Any]) -> Delivery:
        """Let a message arrive on the newest stream."""
        delivery = Delivery(b"1", {})
        self.streams[-1].scheduler.schedule(callback, delivery.message)
        return delivery

    def _note(self, event: str) -> None:
        if self.fails[event]:
            error = self.fails[event].pop()
            self.events.put(f"{event} fails")
            raise error
        self.events.put(event)


class TestRestartingStream:
    @pytest.fixture
    def server(self) -> StreamOpener:
        return StreamOpener()

    @pytest.fixture
    def time(self) -> VirtualTime:
        return VirtualTime()

    @pytest.fixture
    def keep(
        self, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> Iterator[Callable[..., RestartingStream]]:
        streams: list[RestartingStream] = []

        def keep(**options: Any) -> RestartingStream:
            stream = RestartingStream(
                "photos", server.open_stream, server.prepare, 1, timer=time, **options
            )
            streams.append(stream)
            return stream

        yield keep
        handler.let_end()
        for stream in streams:
            stream.drain(FOREVER)
        for opened in server.streams:
            opened.finish()

    @pytest.fixture
    def kept(self, keep: Callable[..., RestartingStream]) -> RestartingStream:
        return keep()

    def test_opens_a_stream_and_gives_its_future(
        self, kept: RestartingStream, server: StreamOpener
    ) -> None:
        future = kept.open()

        assert future is server.streams[0].future
        assert server.events.items == ["open"]

    @pytest.mark.parametrize(
        ("error", "steps"),
        [
            (exceptions.NotFound("gone"), ["prepare", "open"]),
            (None, ["prepare", "open"]),
            (exceptions.PermissionDenied("no"), ["open"]),
            (ValueError("odd"), ["open"]),
        ],
    )
    def test_one_that_ends_is_opened_again_and_prepared_where_it_may_be_missing(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        error: Exception | None,
        steps: list[str],
    ) -> None:
        kept.open()

        server.streams[0].die(error)
        assert server.events.items == ["open"]
        time.advance(1)

        assert server.events.items == ["open", *steps]

    def test_one_whose_handlers_still_run_is_prepared(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)

        server.streams[0].begin_to_die(exceptions.PermissionDenied("not known until they end"))
        time.advance(1)

        assert server.events.items == ["open", "prepare", "open"]

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (exceptions.PermissionDenied("not yours"), "403 not yours"),
            (exceptions.Unauthenticated("not you"), "401 not you"),
        ],
    )
    def test_the_interruption_is_logged_with_its_reason_and_what_is_needed(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
        error: Exception,
        text: str,
    ) -> None:
        kept.open()

        server.streams[0].die(error)
        time.advance(1)

        assert f"The stream of photos is interrupted, for 1 s now: {text}." in caplog.text
        assert "need the permission pubsub.subscriptions.consume" in caplog.text

    def test_what_was_restored_is_logged_only_if_it_fails_again(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        kept.open()

        server.streams[0].die(exceptions.NotFound("not there"))
        time.advance(1)
        assert server.events.items == ["open", "prepare", "open"]
        assert caplog.messages == []

        server.streams[1].die(exceptions.NotFound("not there"))
        time.advance(2)
        assert "is interrupted" in caplog.text

    def test_an_hour_of_interruption_is_logged_once_a_minute_and_its_end(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        kept.open()
        began = time.now()

        while time.now() < began + 3600:
            server.streams[-1].die(exceptions.PermissionDenied("not yours"))
            time.advance(15)
        time.advance(15)

        levels = [record.levelno for record in caplog.records]
        assert levels[-1] == logging.INFO
        assert set(levels[:-1]) == {logging.ERROR}
        assert 45 <= len(levels) <= 61
        assert re.search("The stream of photos is back, after (35|36).. s.", caplog.text)

    def test_its_end_is_logged(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level("INFO")
        kept.open()
        server.streams[0].die(exceptions.PermissionDenied("not yours"))

        time.advance(30)

        assert caplog.messages[-1] == "The stream of photos is back, after 1 s."

    def test_the_new_stream_handles_messages(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        handled = Inbox()
        kept.open()
        server.streams[0].die(exceptions.NotFound("gone"))
        time.advance(1)

        server.schedule(handled.put)

        handled.wait_for(1)

    @pytest.mark.parametrize("step", ["prepare", "open"])
    def test_what_fails_at_the_restart_is_logged_and_tried_again(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        step: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        kept.open()
        server.fails[step] = [exceptions.ServiceUnavailable("away") for _ in range(3)]

        for _ in range(3):
            server.streams[-1].die(exceptions.NotFound("gone"))
            time.advance(60)

        assert server.streams[-1].is_open
        assert server.events.items.count(f"{step} fails") == 3
        assert "Traceback" not in caplog.text

    def test_what_fails_at_the_first_opening_is_raised(
        self, kept: RestartingStream, server: StreamOpener
    ) -> None:
        server.fails["open"] = [exceptions.PermissionDenied("no")]

        with pytest.raises(exceptions.PermissionDenied):
            kept.open()

    def test_pauses_grow_up_to_a_limit_and_are_short_again_after_a_healthy_while(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.open()
        pauses = [self.pause(server, time) for _ in range(6)]
        time.advance(15)
        pauses.append(self.pause(server, time))

        for pause, most in zip(pauses, [1, 2, 4, 8, 15, 15, 1], strict=True):
            assert most / 2 <= pause <= most

    def pause(self, server: StreamOpener, time: VirtualTime) -> float:
        """Let the newest stream die; return after how many seconds another is opened."""
        server.streams[-1].die(exceptions.Unauthenticated("no"))
        began, opened = time.now(), len(server.streams)
        while len(server.streams) == opened:
            assert time.next_due is not None
            time.advance(time.next_due)
        return time.now() - began

    def test_a_successor_begins_no_more_than_the_threads_while_old_handlers_run(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        server.streams[0].begin_to_die(exceptions.NotFound("gone"))
        time.advance(1)

        handled = Inbox()
        server.schedule(handled.put)

        assert handled.items == []
        handler.let_end()
        handled.wait_for(1)

    def test_drained_it_is_not_opened_again(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.open()

        kept.drain(time.now() + 10)
        server.streams[0].finish()

        assert kept.join(time.now() + 10) == 0
        assert server.streams[0].future.done()
        assert kept.open() is None
        assert server.events.items == ["open"]

    def test_drained_during_a_pause_it_is_not_opened_again(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.open()
        server.streams[0].die(exceptions.NotFound("gone"))

        kept.drain(time.now() + 10)
        time.advance(3600)

        assert server.events.items == ["open"]

    def test_draining_does_not_wait_and_joining_does(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        handler: Handler,
    ) -> None:
        kept.open()
        delivery = server.schedule(handler)
        handler.begun.wait_for(1)

        kept.drain(time.now() + 3600)
        time.call_at(time.now() + 1800, lambda: [handler.let_end(), server.streams[0].finish()])

        assert kept.join(time.now() + 3600) == 0
        assert 1800 <= time.now() - 1000 < 1801
        assert delivery.settlements() == ["ack"]

    def test_joining_gives_up_at_the_deadline_and_counts_what_still_runs(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)

        kept.drain(time.now() + 30)

        assert kept.join(time.now() + 30) == 1
        assert 30 <= time.now() - 1000 <= 31.1

    def test_a_stream_may_still_send_acks_when_handlers_are_given_up(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        future = kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        stream = server.streams[0]
        waits, acks_are_sent = stream.scheduler.shutdown, threading.Event()
        stream.scheduler.shutdown = lambda: [waits(), acks_are_sent.wait(10)]

        deadline = time.now() + 30
        kept.drain(deadline)
        time.call_at(deadline + 0.5, lambda: [acks_are_sent.set(), stream.finish()])

        assert kept.join(deadline) == 1
        assert future.done()

    def test_handlers_of_a_dead_stream_are_waited_for_too(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        handler: Handler,
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        server.streams[0].begin_to_die(exceptions.NotFound("gone"))
        time.advance(1)
        assert len(server.streams) == 2

        kept.drain(time.now())

        assert kept.join(time.now()) == 1

    @pytest.mark.parametrize("error", [exceptions.NotFound("gone"), SystemExit(1)])
    def test_an_error_of_the_stream_does_not_stop_the_shutdown(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, error: BaseException
    ) -> None:
        kept.open()
        server.streams[0].die(error)

        kept.drain(time.now() + 10)

        assert kept.join(time.now() + 10) == 0

    def test_while_pubsub_is_unavailable_a_stream_that_does_not_end_is_not_waited_for(
        self,
        keep: Callable[..., RestartingStream],
        time: VirtualTime,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kept = keep(unavailable_for=lambda: 5.0)
        monkeypatch.setattr(Stream, "close", lambda self, reason=None: None)
        kept.open()
        begin = time.now()

        kept.drain(FOREVER)

        assert kept.join(FOREVER) == 0
        assert time.now() - begin == pytest.approx(Times().unavailable_grace)

    def test_while_pubsub_is_unavailable_handlers_are_waited_for_all_the_same(
        self,
        keep: Callable[..., RestartingStream],
        server: StreamOpener,
        time: VirtualTime,
        handler: Handler,
    ) -> None:
        kept = keep(unavailable_for=lambda: 5.0)
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        begin = time.now()

        kept.drain(FOREVER)
        time.call_at(begin + 60, lambda: [handler.let_end(), server.streams[0].finish()])

        assert kept.join(FOREVER) == 0
        assert time.now() - begin >= 60

    def test_threads_that_cannot_be_started_are_an_error_at_the_start(
        self, kept: RestartingStream, server: StreamOpener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            error = RuntimeError("can't start new thread")
            patched.setattr(threading.Thread, "start", raising(error))

            with pytest.raises(ThreadStartError, match="the handlers of photos"):
                kept.open()

        assert server.events.items == []

    def test_a_stream_whose_threads_cannot_be_started_is_tried_again(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        kept.open()
        server.fails["open"] = [RuntimeError("can't start new thread")] * 3
        server.streams[0].die(exceptions.Unauthenticated("no"))

        time.advance(120)

        assert server.events.items.count("open fails") == 3
        assert server.streams[-1].is_open
        assert "No thread can be started for the stream of photos" in caplog.text

    def test_where_a_stream_cannot_end_in_a_thread_of_its_own_that_is_logged(
        self,
        kept: RestartingStream,
        server: StreamOpener,
        time: VirtualTime,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        kept.open()
        error = RuntimeError("can't start new thread")
        with monkeypatch.context() as patched:
            patched.setattr(Stream, "close", raising(error))
            kept.drain(time.now() + 1)

        assert "The stream of photos ends without a thread of its own" in caplog.text
        assert kept.join(time.now() + 1) == 0

    def test_a_pause_ends_the_stream_and_nacks_what_was_not_begun(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        kept.open()
        running = server.schedule(handler)
        handler.begun.wait_for(1)
        waiting = server.schedule(handler)

        kept.pause()

        assert type(waiting.wait_for_request()).__name__ == "NackRequest"
        assert kept.running == 1
        time.advance(1000)
        assert server.events.items == ["open"], "it is not opened again"
        status = kept.status()
        assert (status.is_paused, status.streams, status.refused_for) == (True, 0, None)
        handler.let_end()
        assert type(running.wait_for_request()).__name__ == "AckRequest"

    def test_it_is_opened_again_once_it_is_resumed(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.open()
        kept.pause()
        server.streams[0].finish()

        kept.resume()
        time.advance(0)

        assert server.events.items == ["open", "open"]
        assert (kept.status().is_paused, kept.status().streams) == (False, 1)

    def test_one_that_is_paused_before_it_is_opened_is_opened_when_it_is_resumed(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.pause()
        assert kept.open() is None
        time.advance(10)
        assert server.events.items == []

        kept.resume()
        time.advance(0)
        assert server.events.items == ["open"]

    def test_more_and_fewer_threads_handle_messages(
        self, kept: RestartingStream, server: StreamOpener, handler: Handler
    ) -> None:
        kept.open()
        for _ in range(4):
            server.schedule(handler)
        handler.begun.wait_for(1)

        kept.set_threads(3)
        handler.begun.wait_for(3)
        assert (kept.running, kept.status().threads) == (3, 3)

        kept.set_threads(1)
        assert kept.running == 3
        handler.let_end()
        handler.ended.wait_for(4)

    def test_the_status_counts(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        server.schedule(handler)
        handler.begun.wait_for(1)
        time.advance(3)

        status = kept.status()
        assert (status.received, status.outstanding, status.running) == (2, 2, 1)
        assert (status.longest_running, status.idle_for) == (3, None)
        assert status.outstanding_bytes > 0
        assert (status.limit, status.is_at_limit) == (1000, False)

    def test_the_status_shows_no_open_stream_while_pubsub_is_unavailable(
        self, keep: Callable[..., RestartingStream]
    ) -> None:
        kept = keep(unavailable_for=lambda: 5.0)
        kept.open()

        status = kept.status()
        assert (status.streams, status.refused_for) == (0, 5.0)
        assert status.refusal == "Pub/Sub is unavailable"
        kept.pause()
        assert kept.status().refused_for is None

    def test_the_status_knows_for_how_long_and_why_no_stream_is_open(
        self, kept: RestartingStream, server: StreamOpener, time: VirtualTime
    ) -> None:
        kept.open()
        server.fails["open"] = [exceptions.PermissionDenied("no")] * 3
        server.streams[0].die(exceptions.PermissionDenied("not yours"))
        time.advance(2)

        status = kept.status()
        assert status.refused_for == 2
        assert (status.refusal, status.is_refusal_final) == ("403 not yours", True)
