"""The records that pipelines parse, as they come out of publishing and processing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

import rele
from rele import Publisher, Subscription, middleware
from rele.backends import BaseBackend
from rele.testing import deliver

LOGGER = "rele.contrib.logging_middleware"

Records = Callable[[], list[logging.LogRecord]]


class OneAnswer(BaseBackend):
    """Gives every message the same outcome."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def send(self, messages: Any) -> list[Future[str]]:
        future: Future[str] = Future()
        if self._error is None:
            future.set_result("1")
        else:
            future.set_exception(self._error)
        return [future for _ in messages]


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Records:
    """The records of LoggingMiddleware, as ``APP_NAME`` shop."""
    rele.setup({"APP_NAME": "shop", "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"]})
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    return lambda: [record for record in caplog.records if record.name == LOGGER]


def publish(error: Exception | None = None) -> None:
    publisher = Publisher(None, None, json.JSONEncoder, 1, None, backend=OneAnswer(error))
    publisher.publish("orders", {"id": 1}, raise_exception=False, lang="es")


def test_a_publish_that_succeeds(records: Records) -> None:
    publish()

    started, published = records()
    assert (started.levelname, published.levelname) == ("DEBUG", "INFO")
    for record in (started, published):
        assert record.pubsub_publisher_attrs.keys() == {"lang", "published_at"}
        assert record.metrics == {
            "name": "publications",
            "data": {"agent": "shop", "topic": "orders"},
        }


def test_a_publish_that_fails(records: Records) -> None:
    error = PermissionError("no")

    publish(error)

    failed = records()[-1]
    assert failed.levelname == "ERROR"
    assert failed.exc_info is not None
    assert failed.exc_info[1] is error
    assert failed.subscription_message == '{"id": 1}'
    assert failed.metrics == {"name": "publications", "data": {"agent": "shop", "topic": "orders"}}
    assert failed.pubsub_publisher_attrs.keys() == {"lang", "published_at"}


def processing(status: str, record: logging.LogRecord) -> dict[str, Any]:
    """The metrics of a processing record, without what differs each time."""
    data = dict(record.metrics["data"])
    assert record.metrics["name"] == "subscriptions"
    assert data.pop("attributes").keys() == {"lang", "published_at"}
    duration = data.pop("duration_seconds", None)
    assert (duration is None) == (status == "received")
    assert duration is None or duration == round(duration, 3)
    return data


@pytest.mark.parametrize(
    ("handler", "status", "level"),
    [
        (lambda data, **attrs: None, "succeeded", "INFO"),
        (lambda data, **attrs: 1 / 0, "failed", "ERROR"),
    ],
)
def test_a_message_that_is_processed(
    records: Records, handler: Callable[..., Any], status: str, level: str
) -> None:
    deliver(Subscription(handler, "orders", prefix="shop"), {"id": 1}, lang="es")

    received, processed = records()
    assert (received.levelname, processed.levelname) == ("DEBUG", level)
    for record, expected in ((received, "received"), (processed, status)):
        assert processing(expected, record) == {
            "agent": "shop",
            "topic": "orders",
            "status": expected,
            "subscription": "shop-orders",
        }
    if status == "failed":
        assert processed.exc_info is not None
        assert isinstance(processed.exc_info[1], ZeroDivisionError)
        assert '{"id": 1}' in processed.subscription_message


def test_the_clean_up_logs_the_number_of_subscriptions(records: Records) -> None:
    middleware.run_middleware_hook("pre_worker_stop", [object(), object(), object()])

    [record] = records()
    assert record.levelname == "INFO"
    assert "3 subscription" in record.getMessage()


def test_the_verbose_middleware_writes_the_whole_payload_of_success_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.VerboseLoggingMiddleware"]})
    caplog.set_level(logging.INFO, logger="rele.contrib.verbose_logging_middleware")

    deliver(Subscription(lambda data, **attrs: None, "orders"), "x" * 5000)

    [record] = caplog.records
    assert record.name == "rele.contrib.verbose_logging_middleware"
    assert "x" * 5000 in record.subscription_message
