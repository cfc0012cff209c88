from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rele import Callback, Subscription
from rele.cli.log import MessageFormatter
from rele.logs import JsonFormatter, RepeatFilter
from tests.support.deliveries import Delivery


class Log:
    """A logger below ``rele`` whose lines pass a filter with a clock of its own."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.now = 0.0
        self.written = io.StringIO()
        self.logger = logging.getLogger("rele.repeats")
        self.handler = logging.StreamHandler(self.written)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(RepeatFilter(most=2, now=lambda: self.now))

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().splitlines()


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log(MessageFormatter("%(message)s"))
    log.logger.addHandler(log.handler)
    yield log
    log.logger.removeHandler(log.handler)


def test_lines_alike_are_left_out_for_a_while(log: Log) -> None:
    for number in range(5):
        log.logger.error("The message %s failed.", number)
    log.logger.error("Another fault.")
    log.now = 60.0
    log.logger.error("The message %s failed.", 5)

    assert log.lines == [
        "The message 0 failed.",
        "The message 1 failed. (further lines like this are left out for 60 s)",
        "Another fault.",
        "The message 5 failed. (3 lines like this were left out)",
    ]


def test_errors_of_different_places_are_different_faults(log: Log) -> None:
    def fail(number: int) -> None:
        if number % 2:
            raise ValueError(number)
        raise ValueError(number)

    for number in range(6):
        try:
            fail(number)
        except ValueError:
            log.logger.exception("failed")

    assert len([line for line in log.lines if line.startswith("failed")]) == 4


@pytest.mark.parametrize("formatter", [MessageFormatter("%(message)s"), JsonFormatter()])
def test_what_programs_count_loses_only_its_traceback(formatter: Any) -> None:
    log = Log(formatter)
    metrics = {"name": "subscriptions", "data": {"status": "failed", "subscription": "orders"}}
    record = None
    for _ in range(4):
        try:
            raise ValueError
        except ValueError as error:
            record = log.logger.makeRecord(
                "rele.x",
                logging.ERROR,
                "",
                0,
                "failed",
                (),
                (ValueError, error, error.__traceback__),
                extra={"metrics": metrics},
            )
        log.handler.handle(record)

    text = log.written.getvalue()
    assert len([line for line in log.lines if "failed" in line]) == 4
    assert text.count("Traceback") == 2
    assert text.count("further tracebacks like this are left out for 60 s") == 1
    assert record is not None
    assert record.exc_info is not None, "other handlers get all of it"


@pytest.mark.parametrize(("name", "level"), [("shop", logging.ERROR), ("rele.x", logging.INFO)])
def test_records_of_others_and_of_lower_levels_all_pass(name: str, level: int) -> None:
    repeats = RepeatFilter(most=1)
    record = logging.LogRecord(name, level, "", 0, "alike", (), None)

    assert all(repeats.filter(record) for _ in range(5))


def test_the_last_copies_of_payloads_all_pass(log: Log, deliver: Callable[..., Delivery]) -> None:
    """No dead-letter topic keeps what cannot be decoded."""
    logging.getLogger("rele.handling").addHandler(log.handler)
    for number in range(5):
        Callback(Subscription(print, "orders"))(deliver(b"no JSON %d" % number).message)
    logging.getLogger("rele.handling").removeHandler(log.handler)

    assert [line.rpartition("It was ")[2] for line in log.lines] == [
        f"b'no JSON {number}'." for number in range(5)
    ]


def test_it_remembers_a_limited_number_of_faults() -> None:
    repeats = RepeatFilter(most=1)

    for number in range(3000):
        repeats.filter(logging.LogRecord("rele.x", logging.ERROR, "", 0, f"{number}", (), None))

    assert len(repeats._windows) <= 1000
