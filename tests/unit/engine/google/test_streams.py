from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions

from rele.engine.google import streams as engine
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.google.streams import KeptStream
from tests.support.google_streams import Stream
from tests.support.inbox import Inbox
from tests.unit.conftest import Delivery
from tests.unit.engine.conftest import FOREVER, Handler


class Server:
    """Opens streams for a KeptStream, and notes what happens, in order."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.events = Inbox()
        self.fails: dict[str, list[Exception]] = {"open": [], "prepare": []}

    def open_stream(self, scheduler: DrainingScheduler) -> Any:
        self._note("open")
        self.streams.append(Stream(scheduler))
        return self.streams[-1].future

    def prepare(self) -> None:
        self._note("prepare")

    def wait_for_opened(self, count: int) -> None:
        self.events.wait_until(lambda events: events.count("open") >= count)

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


class TestKeptStream:
    @pytest.fixture(autouse=True)
    def _short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "FIRST_PAUSE", 0.001)
        monkeypatch.setattr(engine, "LONGEST_PAUSE", 0.004)

    @pytest.fixture
    def server(self) -> Server:
        return Server()

    @pytest.fixture
    def kept(self, server: Server, handler: Handler) -> Iterator[KeptStream]:
        kept = KeptStream("photos", server.open_stream, server.prepare, threads=1)
        yield kept
        handler.let_end()
        kept.drain(FOREVER)
        kept.join(time.monotonic() + 10)

    def test_opens_a_stream_and_gives_its_future(self, kept: KeptStream, server: Server) -> None:
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
        kept: KeptStream,
        server: Server,
        error: Exception | None,
        steps: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        let_the_reason_be_known(monkeypatch)
        kept.open()

        server.streams[0].close(error)
        server.wait_for_opened(2)

        assert server.events.items == ["open", *steps]

    def test_one_whose_handlers_still_run_is_prepared(
        self, kept: KeptStream, server: Server, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)

        server.streams[0].close(exceptions.PermissionDenied("not known until they end"))
        server.wait_for_opened(2)

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
        kept: KeptStream,
        server: Server,
        caplog: pytest.LogCaptureFixture,
        error: Exception,
        text: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        let_the_reason_be_known(monkeypatch)
        kept.open()

        server.streams[0].die(error)
        server.wait_for_opened(2)

        assert f"The stream of photos is interrupted, for 0 s now: {text}." in caplog.text
        assert "need the permission pubsub.subscriptions.consume" in caplog.text

    def test_an_interruption_is_logged_once_a_minute(
        self, kept: KeptStream, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept.open()

        for number in range(5):
            server.streams[-1].die(exceptions.PermissionDenied("not yours"))
            server.wait_for_opened(number + 2)

        assert len(caplog.records) == 1

    def test_its_end_is_logged(
        self,
        kept: KeptStream,
        server: Server,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        said = Inbox()
        monkeypatch.setattr(engine, "HEALTHY_AFTER", 0.01)
        monkeypatch.setattr(engine.logger, "info", lambda text, *args: said.put(text % args))
        kept.open()

        server.streams[0].die(exceptions.PermissionDenied("not yours"))

        assert said.wait_for(1) == ["The stream of photos is back, after 0 s."]

    def test_the_new_stream_handles_messages(self, kept: KeptStream, server: Server) -> None:
        handled = Inbox()
        kept.open()
        server.streams[0].die(exceptions.NotFound("gone"))
        server.wait_for_opened(2)

        server.schedule(handled.put)

        handled.wait_for(1)

    @pytest.mark.parametrize("step", ["prepare", "open"])
    def test_what_fails_at_the_restart_is_logged_and_tried_again(
        self, kept: KeptStream, server: Server, step: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept.open()
        server.fails[step] = [exceptions.ServiceUnavailable("away") for _ in range(3)]

        for _ in range(3):
            opened = len(server.streams)
            server.streams[-1].die(exceptions.NotFound("gone"))
            server.wait_for_opened(opened + 1)

        assert server.events.items.count(f"{step} fails") == 3
        assert "Traceback" not in caplog.text

    def test_what_fails_at_the_first_opening_is_raised(
        self, kept: KeptStream, server: Server
    ) -> None:
        server.fails["open"] = [exceptions.PermissionDenied("no")]

        with pytest.raises(exceptions.PermissionDenied):
            kept.open()

    def test_pauses_grow_with_jitter_up_to_a_limit(
        self, kept: KeptStream, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG", logger=engine.__name__)
        kept.open()
        for number in range(6):
            server.streams[-1].die(exceptions.Unauthenticated("no"))
            server.wait_for_opened(number + 2)

        pauses = pauses_in(caplog)
        for pause, most in zip(pauses, [1, 2, 4, 4, 4, 4], strict=True):
            assert most / 2 <= pause * 1000 <= most
        assert len(set(pauses)) == len(pauses)

    def test_after_a_healthy_while_the_pause_is_the_first_again(
        self,
        kept: KeptStream,
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(engine, "HEALTHY_AFTER", 0.01)
        caplog.set_level("DEBUG", logger=engine.__name__)
        healthy = Inbox()
        note_health = kept._note_health
        monkeypatch.setattr(kept, "_note_health", lambda: healthy.put(note_health()))
        kept.open()
        for number in range(3):
            server.streams[-1].die(exceptions.Unauthenticated("no"))
            server.wait_for_opened(number + 2)
            healthy.wait_for(number + 1)

        assert all(0.5 <= pause * 1000 <= 1 for pause in pauses_in(caplog))

    def test_a_successor_begins_no_more_than_the_threads_while_old_handlers_run(
        self, kept: KeptStream, server: Server, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        server.streams[0].close(exceptions.NotFound("gone"))
        server.wait_for_opened(2)

        handled = Inbox()
        server.schedule(handled.put)

        assert handled.items == []
        handler.let_end()
        handled.wait_for(1)

    def test_drained_it_is_not_opened_again(self, kept: KeptStream, server: Server) -> None:
        kept.open()

        kept.drain(time.monotonic() + 10)

        assert kept.join(time.monotonic() + 10) == 0
        assert server.streams[0].future.done()
        assert kept.open() is None
        assert server.events.items == ["open"]

    def test_drained_during_a_pause_it_is_not_opened_again(
        self,
        kept: KeptStream,
        server: Server,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(engine, "FIRST_PAUSE", 3600.0)
        monkeypatch.setattr(engine, "LONGEST_PAUSE", 3600.0)
        before = set(threading.enumerate())
        kept.open()
        server.streams[0].die(exceptions.NotFound("gone"))
        [timer] = set(threading.enumerate()) - before

        kept.drain(time.monotonic() + 10)

        timer.join(10)
        assert not timer.is_alive()
        assert server.events.items == ["open"]

    def test_draining_does_not_wait_and_joining_does(
        self,
        kept: KeptStream,
        server: Server,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
    ) -> None:
        kept.open()
        delivery = server.schedule(handler)
        handler.begun.wait_for(1)
        left = Inbox()

        kept.drain(FOREVER)
        joining = in_thread(lambda: left.put(kept.join(time.monotonic() + 10)))
        assert joining.is_alive()
        handler.let_end()

        assert left.wait_for(1) == [0]
        assert delivery.settlements() == ["ack"]

    def test_joining_gives_up_at_the_deadline_and_counts_what_still_runs(
        self, kept: KeptStream, server: Server, handler: Handler
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)

        kept.drain(time.monotonic())

        assert kept.join(time.monotonic()) == 1

    def test_a_stream_may_still_send_acks_when_handlers_are_given_up(
        self, kept: KeptStream, server: Server, handler: Handler
    ) -> None:
        future = kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        stream = server.streams[0]
        waits, acks_are_sent = stream.scheduler.shutdown, threading.Event()
        stream.scheduler.shutdown = lambda: [waits(), acks_are_sent.wait(10)]

        kept.drain(time.monotonic())
        threading.Timer(0.2, acks_are_sent.set).start()

        assert kept.join(time.monotonic()) == 1
        assert future.done()

    def test_handlers_of_a_dead_stream_are_waited_for_too(
        self,
        kept: KeptStream,
        server: Server,
        handler: Handler,
    ) -> None:
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        server.streams[0].close(exceptions.NotFound("gone"))
        server.wait_for_opened(2)

        kept.drain(time.monotonic())

        assert kept.join(time.monotonic()) == 1

    @pytest.mark.parametrize("error", [exceptions.NotFound("gone"), SystemExit(1)])
    def test_an_error_of_the_stream_does_not_stop_the_shutdown(
        self,
        kept: KeptStream,
        server: Server,
        error: BaseException,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(engine, "FIRST_PAUSE", 3600.0)
        monkeypatch.setattr(engine, "LONGEST_PAUSE", 3600.0)
        kept.open()
        server.streams[0].die(error)

        kept.drain(time.monotonic() + 10)

        assert kept.join(time.monotonic() + 10) == 0

    def test_where_nobody_answers_a_stream_that_does_not_end_is_not_waited_for(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = KeptStream("photos", server.open_stream, server.prepare, 1, is_away=lambda: True)
        monkeypatch.setattr(Stream, "close", lambda self, reason=None: None)
        kept.open()

        begin = time.monotonic()
        kept.drain(FOREVER)

        assert kept.join(FOREVER) == 0
        assert engine.AWAY_GRACE <= time.monotonic() - begin < engine.AWAY_GRACE + 5

    def test_where_nobody_answers_handlers_are_waited_for_all_the_same(
        self,
        server: Server,
        handler: Handler,
        in_thread: Callable[..., threading.Thread],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(engine, "AWAY_GRACE", 0.0)
        kept = KeptStream("photos", server.open_stream, server.prepare, 1, is_away=lambda: True)
        kept.open()
        server.schedule(handler)
        handler.begun.wait_for(1)
        left = Inbox()

        kept.drain(FOREVER)
        joining = in_thread(lambda: left.put(kept.join(FOREVER)))
        joining.join(0.2)
        assert joining.is_alive()
        handler.let_end()

        assert left.wait_for(1) == [0]


def let_the_reason_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause until Google's future is done, which comes a moment after the scheduler's end."""
    monkeypatch.setattr(engine, "FIRST_PAUSE", 0.4)
    monkeypatch.setattr(engine, "LONGEST_PAUSE", 0.4)


def pauses_in(caplog: pytest.LogCaptureFixture) -> list[float]:
    """The pauses that were announced, in seconds, unrounded."""
    return [
        record.args[1]  # type: ignore[misc]
        for record in caplog.records
        if "starts again in" in record.msg and isinstance(record.args, tuple)
    ]
