from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from rele import Callback, Subscription
from rele.contrib import VerboseLoggingMiddleware
from tests.support.deliveries import Delivery
from tests.support.in_use import register
from tests.support.recorder import raising

Deliver = Callable[..., Delivery]

LOGGER = "rele.contrib.verbose_logging_middleware"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """The records of the middleware, which is the only one."""
    register(VerboseLoggingMiddleware())
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def handle(deliver: Deliver, payload: bytes, handler: Callable[..., object]) -> None:
    Callback(Subscription(handler, "photos"))(deliver(payload, lang="en").message)


LONG = b'"' + b"x" * 20_000 + b'"'


def test_success_has_payload_and_attributes_uncut(
    records: list[logging.LogRecord], deliver: Deliver
) -> None:
    handle(deliver, LONG, lambda data, **attributes: None)

    succeeded = records[-1]
    assert (succeeded.name, succeeded.levelname) == (LOGGER, "INFO")
    assert succeeded.metrics["data"]["status"] == "succeeded"  # type: ignore[attr-defined]
    assert "duration_seconds" in succeeded.metrics["data"]  # type: ignore[attr-defined]
    assert LONG.decode() in succeeded.subscription_message  # type: ignore[attr-defined]
    assert "{'lang': 'en'}" in succeeded.subscription_message  # type: ignore[attr-defined]


def test_failure_has_payload_and_attributes_uncut(
    records: list[logging.LogRecord], deliver: Deliver
) -> None:
    error = ValueError("boo")

    handle(deliver, LONG, raising(error))

    failed = records[-1]
    assert (failed.name, failed.levelname) == (LOGGER, "ERROR")
    assert failed.exc_info is not None
    assert failed.exc_info[1] is error
    assert LONG.decode() in failed.subscription_message  # type: ignore[attr-defined]
    assert "{'lang': 'en'}" in failed.subscription_message  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\xff", r"data: b'\xff'"),
        (b'"a\nb"', r"""data: '"a\nb"'"""),
        ('"é"'.encode(), """data: '"é"'"""),
    ],
)
def test_any_payload_is_one_line_of_text(
    records: list[logging.LogRecord], deliver: Deliver, payload: bytes, text: str
) -> None:
    handle(deliver, payload, raising(ValueError()))

    [message] = [r.subscription_message for r in records if hasattr(r, "subscription_message")]
    assert text in message
    assert "\n" not in message


def test_a_stand_in_for_the_message_may_have_text_and_no_ordering_key(
    records: list[logging.LogRecord],
) -> None:
    message = SimpleNamespace(data="text", attributes={})

    VerboseLoggingMiddleware().post_process_message_success(
        Subscription(print, "photos"), 0.0, message
    )

    assert "data: 'text', ordering_key: ''" in records[-1].subscription_message  # type: ignore[attr-defined]
