from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from unittest.mock import Mock

import pytest
from google.api_core.exceptions import NotFound, RetryError

from rele.sending import outstanding as module
from rele.sending.outstanding import OutstandingPublishes
from rele.sending.publication import Publication
from tests.support.backends import HeldBackend
from tests.support.recorder import raising


class ClosedBackend(HeldBackend):
    """Notes how long it may take to close."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[float | None] = []

    def close(self, timeout: float | None = None) -> None:
        self.closed.append(timeout)
        self._settle()


@pytest.fixture(autouse=True)
def _no_other_publishers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_all", weakref.WeakSet())


@pytest.fixture
def backend() -> ClosedBackend:
    return ClosedBackend()


@pytest.fixture
def outstanding(backend: ClosedBackend) -> OutstandingPublishes:
    return OutstandingPublishes(backend, exit_timeout=0.01)


class NotedPublication(Publication):
    """Calls a function of the test as the hooks of its outcome."""

    def __init__(
        self, outstanding: OutstandingPublishes, report: Callable[[Future[str]], None]
    ) -> None:
        super().__init__("photos", 1, {}, outstanding)
        self._report = report

    def run_outcome_hooks(self, error: BaseException | None) -> bool:
        assert self.future is not None
        self._claim["by"] = self
        self._report(self.future)
        return True


@pytest.fixture
def watch(outstanding: OutstandingPublishes) -> Callable[..., None]:
    """Watch a future, whose outcome is reported once it is done."""

    def watch(future: Future[str], report: Callable[[Future[str]], None]) -> None:
        publication = NotedPublication(outstanding, report)
        future.add_done_callback(publication.report)
        outstanding.watch(publication, future)

    return watch


@pytest.fixture
def publish(backend: ClosedBackend, watch: Callable[..., None]) -> Callable[..., Future[str]]:
    """Watch a future that the backend settles when it is flushed or closed."""
    backend.settles_at_flush = True

    def publish(report: Callable[[Future[str]], None] = lambda future: None) -> Future[str]:
        [future] = backend.send([Mock()])
        watch(future, report)
        return future

    return publish


def test_the_outcome_is_reported_once(
    outstanding: OutstandingPublishes, publish: Callable[..., Future[str]]
) -> None:
    reported: list[Future[str]] = []
    future = publish(reported.append)
    assert reported == []

    future.set_result("message-1")

    assert reported == [future]


def test_a_future_that_is_done_is_reported_at_once(
    outstanding: OutstandingPublishes, watch: Callable[..., None]
) -> None:
    future: Future[str] = Future()
    future.set_result("message-1")
    reported: list[Future[str]] = []

    watch(future, reported.append)

    assert reported == [future]
    assert outstanding.flush(0)


class TestFlush:
    def test_succeeds_where_nothing_is_under_way(
        self, outstanding: OutstandingPublishes, backend: ClosedBackend
    ) -> None:
        assert outstanding.flush(5)

        assert backend.flushes == [5]

    def test_sends_all(
        self,
        outstanding: OutstandingPublishes,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
    ) -> None:
        futures = [publish() for _ in range(3)]
        backend.outcome = "message"

        assert outstanding.flush(10)

        assert all(future.done() for future in futures)

    def test_waits_until_the_reports_have_returned(
        self, outstanding: OutstandingPublishes, publish: Callable[..., Future[str]]
    ) -> None:
        reporting, may_return = threading.Event(), threading.Event()

        def report(future: Future[str]) -> None:
            reporting.set()
            assert may_return.wait(10)

        future = publish(report)
        sender = threading.Thread(target=future.set_result, args=["message-1"])
        sender.start()
        assert reporting.wait(10)

        flushed: list[bool] = []
        flusher = threading.Thread(target=lambda: flushed.append(outstanding.flush(10)))
        flusher.start()
        flusher.join(0.05)
        assert flushed == []
        may_return.set()

        flusher.join(10)
        sender.join(10)
        assert flushed == [True]

    def test_fails_where_something_was_refused(
        self,
        outstanding: OutstandingPublishes,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
    ) -> None:
        publish()
        backend.outcome = ValueError("refused")

        assert not outstanding.flush(10)

    def test_fails_where_something_is_not_sent_in_time(
        self, outstanding: OutstandingPublishes, publish: Callable[..., Future[str]]
    ) -> None:
        publish()

        assert not outstanding.flush(0)

    def test_does_not_wait_for_what_is_published_meanwhile(
        self,
        outstanding: OutstandingPublishes,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
    ) -> None:
        def publish_another(future: Future[str]) -> None:
            backend.outcome = None
            publish()

        publish(publish_another)
        backend.outcome = "message"

        assert outstanding.flush(10)

    @pytest.mark.parametrize("error", [ValueError(), SystemExit(1)])
    def test_does_not_wait_for_ever_for_a_report_that_raised(
        self,
        outstanding: OutstandingPublishes,
        publish: Callable[..., Future[str]],
        error: BaseException,
    ) -> None:
        future = publish(raising(error))
        with suppress(SystemExit):
            future.set_result("message-1")
        before = time.monotonic()

        assert outstanding.flush(10)

        assert time.monotonic() - before < 5


class TestExit:
    def test_sends_what_is_left_within_the_timeout(
        self,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        future = publish()
        backend.outcome = "message"

        module._close_all()

        assert future.done()
        assert backend.closed == [0.01]
        assert caplog.text == ""

    @pytest.mark.parametrize("outcome", [None, RetryError("gave up", None)])
    def test_logs_how_many_are_lost(
        self,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
        outcome: BaseException | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for _ in range(3):
            publish()
        backend.outcome = outcome

        module._close_all()

        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert "3 published message(s) were lost" in record.getMessage()
        assert "within 0.01 s" in record.getMessage()
        assert "PUBLISHER_TIMEOUT" in record.getMessage()

    def test_what_was_refused_was_reported_and_is_not_counted_as_late(
        self,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        reported: list[Future[str]] = []
        futures = [publish(reported.append) for _ in range(3)]
        late = futures.pop()
        backend.futures.remove(late)
        backend.outcome = NotFound("no such topic")

        module._close_all()

        assert reported == futures
        [record] = caplog.records
        assert record.getMessage().startswith("1 published message(s) were lost")

    def test_what_was_cancelled_is_not_lost(
        self, publish: Callable[..., Future[str]], caplog: pytest.LogCaptureFixture
    ) -> None:
        assert publish().cancel()

        module._close_all()

        assert caplog.text == ""

    def test_leaves_the_publishes_of_the_parent_process_to_it(
        self,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        publish()
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: -1)

            module._close_all()

        assert backend.closed == []
        assert caplog.text == ""

    def test_one_that_fails_keeps_no_other_from_sending(
        self,
        backend: ClosedBackend,
        publish: Callable[..., Future[str]],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        future = publish()
        backend.outcome = "message"
        broken = [ClosedBackend(), ClosedBackend()]
        for each in broken:
            monkeypatch.setattr(each, "close", raising(OSError("no network")))
        kept = [OutstandingPublishes(each, exit_timeout=0.01) for each in broken]

        module._close_all()

        assert future.done()
        assert caplog.text.count("OSError: no network") == len(kept)

    def test_a_publisher_that_nobody_keeps_is_not_kept_for_the_exit(self) -> None:
        backend = ClosedBackend()
        OutstandingPublishes(backend, exit_timeout=0.01)
        gc.collect()

        module._close_all()

        assert backend.closed == []
