"""A log handler that publishes what is logged, with Relé's own records among that."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import MemoryHandler, QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any

import pytest

import rele
from rele import publishing
from rele.middleware import BaseMiddleware
from tests.support.backends import HeldBackend
from tests.support.readme import blocks
from tests.support.recorder import raising

MOST = 20
"""A loop is ended after so many records, or the test would never end."""

made: list[HeldBackend] = []


class OtherThreadBackend(HeldBackend):
    """Says in a thread of its own what became of a message."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        made.append(self)
        self.outcome = "message-1"

    def _settle(self) -> None:
        thread = threading.Thread(target=super()._settle)
        thread.start()
        thread.join(10)


class LateBackend(HeldBackend):
    """Says what became of a message when the test asks for it, in a thread of its own."""

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        made.append(self)

    def settle(self) -> None:
        self.outcome = "message-1"
        thread = threading.Thread(target=self._settle)
        thread.start()
        thread.join(10)
        self.outcome = None


class CannotFlushBackend(OtherThreadBackend):
    def flush(self, timeout: float | None = None) -> None:
        raise OSError("no flush")


class RaisesAtSuccess(BaseMiddleware):
    post_publish_success = raising(ValueError("a hook that always fails"))


class PublishingHandler(logging.Handler):
    """Publishes the text of each record."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._kwargs = kwargs

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if len(self.texts) < MOST:
            rele.publish("records", record.getMessage(), raise_exception=False, **self._kwargs)


@pytest.fixture(autouse=True)
def _no_backends() -> None:
    made.clear()


@pytest.fixture
def log_to() -> Iterator[Callable[[logging.Handler], None]]:
    """Let the root logger, at DEBUG, have only that handler until the test ends."""
    root = logging.getLogger()
    rele_logger = logging.getLogger("rele")
    before = root.level, rele_logger.level, root.handlers[:]

    def log_to(handler: logging.Handler) -> None:
        root.setLevel(logging.DEBUG)
        rele_logger.setLevel(logging.NOTSET)
        root.handlers[:] = [handler]

    yield log_to
    root.setLevel(before[0])
    rele_logger.setLevel(before[1])
    root.handlers[:] = before[2]


def set_up(backend: type[HeldBackend] = OtherThreadBackend, *middleware: str) -> None:
    rele.setup(
        {
            "PUBLISHER_BACKEND": f"{__name__}.{backend.__name__}",
            "MIDDLEWARE": middleware or ["rele.contrib.LoggingMiddleware"],
        }
    )


@pytest.mark.parametrize("blocking", [False, True])
def test_each_record_about_a_publish_is_published_once(
    log_to: Callable[[logging.Handler], None], blocking: bool
) -> None:
    set_up()
    handler = PublishingHandler(blocking=blocking)
    log_to(handler)

    rele.publish("orders", 1, blocking=blocking)
    assert publishing.flush(10)

    assert handler.texts == ["Publishing to orders", "Published to orders"]
    [backend] = made
    assert [message.topic for message in backend.messages].count("records") == 2


def test_so_it_is_where_the_outcome_is_known_later_in_another_thread(
    log_to: Callable[[logging.Handler], None],
) -> None:
    set_up(LateBackend)
    handler = PublishingHandler()
    log_to(handler)
    rele.publish("orders", 1)

    [backend] = made
    for _ in range(MOST):
        backend.settle()

    assert handler.texts == ["Publishing to orders", "Published to orders"]
    assert all(future.done() for future in backend.futures)


def test_a_record_of_the_project_is_published_and_so_is_what_is_logged_about_that(
    log_to: Callable[[logging.Handler], None],
) -> None:
    set_up()
    handler = PublishingHandler()
    log_to(handler)

    logging.getLogger("shop").info("An order was paid")

    assert handler.texts == [
        "An order was paid",
        "Publishing to records",
        "Published to records",
    ]


def test_failures_end_as_well(log_to: Callable[[logging.Handler], None]) -> None:
    set_up()
    handler = PublishingHandler()
    log_to(handler)
    rele.publish("orders", 1)
    made[0].outcome = ValueError("refused")
    handler.texts.clear()

    rele.publish("orders", 2, raise_exception=False)

    assert [text for text in handler.texts if "failed" in text] == [
        "Publishing to orders failed: ValueError: refused"
    ]
    assert len(handler.texts) < MOST


@pytest.mark.parametrize(
    ("backend", "middleware"),
    [
        (OtherThreadBackend, f"{__name__}.RaisesAtSuccess"),
        (CannotFlushBackend, "rele.contrib.LoggingMiddleware"),
    ],
)
def test_what_always_goes_wrong_is_logged_once(
    log_to: Callable[[logging.Handler], None], backend: type[HeldBackend], middleware: str
) -> None:
    set_up(backend, middleware)
    handler = PublishingHandler(blocking=True)
    log_to(handler)

    rele.publish("orders", 1, blocking=True)

    texts = [text for text in handler.texts if "orders" not in text]
    assert len(texts) == 1
    assert "RaisesAtSuccess raised" in texts[0] or "could not send at once" in texts[0]


def test_a_handler_in_a_thread_of_its_own_ends_as_well(
    log_to: Callable[[logging.Handler], None],
) -> None:
    set_up()
    handler = PublishingHandler()
    queue: SimpleQueue[Any] = SimpleQueue()
    listener = QueueListener(queue, handler)
    log_to(QueueHandler(queue))  # type: ignore[arg-type]
    listener.start()
    try:
        rele.publish("orders", 1)
    finally:
        listener.stop()  # which handles what is in the queue first

    assert handler.texts == ["Publishing to orders", "Published to orders"]


def test_a_handler_that_gets_the_records_later_ends_as_well(
    log_to: Callable[[logging.Handler], None],
) -> None:
    set_up()
    handler = PublishingHandler()
    buffer = MemoryHandler(capacity=MOST, target=handler)
    log_to(buffer)
    rele.publish("orders", 1)

    buffer.flush()
    buffer.flush()

    assert handler.texts == ["Publishing to orders", "Published to orders"]


def test_a_handler_of_another_process_ends_as_well(
    log_to: Callable[[logging.Handler], None],
) -> None:
    set_up()
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    log_to(QueueHandler(records))  # type: ignore[arg-type]
    rele.publish("orders", 1)
    sent = [pickle.dumps(vars(records.get())) for _ in range(2)]

    handler = PublishingHandler()
    log_to(handler)
    for record in sent:
        handler.handle(logging.makeLogRecord(pickle.loads(record)))

    assert handler.texts == ["Publishing to orders", "Published to orders"]


class PooledHandler(PublishingHandler):
    """Publishes in an executor, as handlers do that send batches."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ThreadPoolExecutor(1)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if len(self.texts) < MOST:
            self.pool.submit(rele.publish, "records", record.getMessage())

    def finish(self) -> None:
        """Wait until what it published, and what that caused, has been published."""
        for _ in range(2 * MOST):
            self.pool.submit(int).result(10)
        self.pool.shutdown()


def test_a_handler_that_publishes_in_an_executor_ends_with_the_filter_of_the_manual(
    log_to: Callable[[logging.Handler], None],
) -> None:
    [code] = [text for _, _, text in blocks("Log messages") if "logging.Filter" in text]
    names: dict[str, Any] = {}
    exec(code, names)
    set_up()
    handler = PooledHandler()
    handler.addFilter(names["NotAboutPublishing"]())
    log_to(handler)

    logging.getLogger("shop").info("An order was paid")
    rele.publish("orders", 1)
    handler.finish()

    assert handler.texts == ["An order was paid"]
    [backend] = made
    assert [message.topic for message in backend.messages].count("records") == 1


def test_the_mark_of_a_record_can_be_written_as_json(
    caplog: pytest.LogCaptureFixture,
) -> None:
    set_up()

    with caplog.at_level(logging.INFO):
        rele.publish("orders", 1)

    assert json.loads(json.dumps(vars(caplog.records[0])))["rele_about_publishing"] == "yes"


class PublishesToo(BaseMiddleware):
    """As a project may do it on purpose: one publish follows from another."""

    def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
        if topic == "orders":
            rele.publish("audit", data)


def test_what_a_hook_publishes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    set_up(OtherThreadBackend, "rele.contrib.LoggingMiddleware", f"{__name__}.PublishesToo")

    with caplog.at_level(logging.INFO):
        rele.publish("orders", 1)

    assert [record.getMessage() for record in caplog.records] == [
        "Published to orders",
        "Published to audit",
    ]


def test_the_record_says_where_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    set_up()

    with caplog.at_level(logging.INFO):
        rele.publish("orders", 1)

    assert caplog.records[0].funcName == "post_publish_success"
