"""What a worker's log shows where the project has configured nothing, and where it has."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pytest

import rele
from rele import Callback, Subscription
from rele.cli.log import MessageFormatter, log_to_stderr
from rele.exceptions import DeadLetter, Drop
from tests.support.deliveries import Delivery

Lines = Callable[[], list[str]]


@contextmanager
def logging_as_python_leaves_it() -> Iterator[Lines]:
    """Without pytest's handlers; gives the lines that have come to the standard error since."""
    written = io.StringIO()
    root, own = logging.getLogger(), logging.getLogger("rele")
    with ExitStack() as changes:
        changes.callback(lambda: own.setLevel(own.level))
        changes.enter_context(patch("sys.stderr", written))
        for logger, level in ((root, logging.WARNING), (own, logging.NOTSET)):
            changes.enter_context(patch.object(logger, "handlers", []))
            changes.enter_context(patch.object(logger, "level", level))
        own.setLevel(own.level)  # logging remembers which levels are enabled, until one is set
        yield lambda: written.getvalue().splitlines()


def log_one_of_each() -> None:
    logger = logging.getLogger("rele.worker")
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)(level)


def last_words(lines: list[str]) -> list[str]:
    return [line.split()[-1] for line in lines]


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (None, ["info", "warning", "error"]),
        (0, ["error"]),
        (1, ["info", "warning", "error"]),
        (2, ["debug", "info", "warning", "error"]),
        (3, ["debug", "info", "warning", "error"]),
    ],
)
@pytest.mark.parametrize("of_project", [False, True])
def test_where_nothing_is_configured_the_verbosity_decides(
    verbosity: int | None, of_project: bool, shown: list[str]
) -> None:
    with logging_as_python_leaves_it() as lines:
        log_to_stderr(verbosity, of_project=of_project)
        log_one_of_each()

    assert last_words(lines()) == shown


def test_the_records_of_the_project_are_shown_where_they_are_asked_for() -> None:
    with logging_as_python_leaves_it() as lines:
        log_to_stderr(None, of_project=True)
        logging.getLogger("shop").info("shipped")
        logging.getLogger("shop").debug("looked")

    assert last_words(lines()) == ["shipped"]


def test_djangos_own_logging_is_no_choice_of_the_project() -> None:
    with (
        logging_as_python_leaves_it() as lines,
        patch.object(logging.getLogger("django"), "handlers", [logging.StreamHandler()]),
    ):
        log_to_stderr(None)
        log_one_of_each()

    assert last_words(lines()) == ["info", "warning", "error"]


def _add_handler(name: str) -> None:
    logging.getLogger(name).addHandler(logging.StreamHandler(io.StringIO()))


CONFIGURED: dict[str, Callable[[], None]] = {
    "a handler of rele": lambda: _add_handler("rele"),
    "a handler of the root": lambda: _add_handler(""),
    "a level of rele": lambda: logging.getLogger("rele").setLevel(logging.CRITICAL),
    "a level of the root": lambda: logging.getLogger().setLevel(logging.CRITICAL),
}


@pytest.mark.parametrize("configured", CONFIGURED)
def test_configured_logging_stays_as_it_is(configured: str) -> None:
    with logging_as_python_leaves_it() as lines:
        CONFIGURED[configured]()
        log_to_stderr(None)
        log_one_of_each()

    assert lines() == []


def test_a_logger_below_that_has_a_handler_of_its_own_writes_nothing_twice() -> None:
    with logging_as_python_leaves_it() as lines:
        handler = logging.StreamHandler()
        with patch.object(logging.getLogger("rele.worker"), "handlers", [handler]):
            log_to_stderr(None)
            log_one_of_each()

    assert last_words(lines()) == ["warning", "error"]


@pytest.mark.parametrize("configured", CONFIGURED)
def test_a_verbosity_that_is_given_counts_for_more_than_a_level(configured: str) -> None:
    with logging_as_python_leaves_it():
        CONFIGURED[configured]()

        log_to_stderr(2)

        assert logging.getLogger("rele.worker").isEnabledFor(logging.DEBUG)


def test_a_verbosity_that_is_given_shows_what_no_handler_takes_and_nothing_twice() -> None:
    with logging_as_python_leaves_it() as lines:
        handler = logging.StreamHandler()
        handler.setLevel(logging.WARNING)
        logging.getLogger().addHandler(handler)
        log_to_stderr(1)
        log_one_of_each()

    assert last_words(lines()) == ["info", "warning", "error"]


def test_a_logger_that_dictconfig_has_disabled_is_heard() -> None:
    with logging_as_python_leaves_it() as lines:
        logging.getLogger("rele.worker").disabled = True
        log_to_stderr(None)
        log_one_of_each()

    assert last_words(lines()) == ["info", "warning", "error"]


class TestTheLineOfAMessage:
    @pytest.fixture
    def handle(
        self, deliver: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., list[str]]:
        """Handle a message; give the lines on it, without their time."""
        monkeypatch.setattr(time, "time", lambda: 1e9)
        rele.setup({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"]})

        def handle(error: Exception | None = None, attempt: int | None = None) -> list[str]:
            def work(data: Any, **attributes: Any) -> None:
                if error is not None:
                    raise error

            message = deliver(b"1").message
            message._delivery_attempt = attempt
            with logging_as_python_leaves_it() as lines:
                log_to_stderr(2)
                Callback(Subscription(work, "photos", suffix="thumbs"))(message)
            return [line.split(" ", 2)[2] for line in lines() if ": message " in line]

        return handle

    def test_of_one_that_was_processed(self, handle: Callable[..., list[str]]) -> None:
        assert handle() == [
            "DEBUG photos-thumbs: message message-1 received",
            "INFO photos-thumbs: message message-1 processed, 0.000 s",
        ]

    def test_of_one_that_has_failed(self, handle: Callable[..., list[str]]) -> None:
        assert handle(ValueError("no"), attempt=3) == [
            "DEBUG photos-thumbs: message message-1 received, attempt 3",
            "ERROR photos-thumbs: message message-1 failed with ValueError, attempt 3, 0.000 s",
        ]

    def test_of_one_that_the_handler_has_decided_about(
        self, handle: Callable[..., list[str]]
    ) -> None:
        assert handle(Drop("not ours"))[-1] == (
            "WARNING photos-thumbs: message message-1 ended with Drop('not ours'), 0.000 s"
        )

    def test_with_what_it_has_decided_about(self, handle: Callable[..., list[str]]) -> None:
        decision = DeadLetter()
        decision.__cause__ = KeyError("sku")

        assert "ended with DeadLetter(), from KeyError('sku')," in handle(decision)[-1]


@pytest.mark.parametrize(
    "metrics", [None, 1, {"name": "publications"}, {"name": "subscriptions", "data": {}}]
)
def test_any_other_record_is_formatted_as_ever(metrics: object) -> None:
    record = logging.makeLogRecord(
        {"name": "rele.worker", "msg": "a text", "levelname": "INFO", "metrics": metrics}
    )

    assert MessageFormatter("%(name)s: %(message)s").format(record) == "rele.worker: a text"
