from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rele
from rele import Callback, Subscription
from rele.logs import JsonFormatter, MessageFilter
from rele.runtime.in_use import IN_USE
from tests.support.backends import HeldBackend
from tests.support.deliveries import Delivery

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"

Deliver = Callable[..., Delivery]


class SentBackend(HeldBackend):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = "message-1"


class Lines(logging.Handler):
    """Records with the fields of the message, and the same as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(MessageFilter())
        self.setFormatter(JsonFormatter())
        self.records: list[Any] = []
        self.json: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.json.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def fields(record: Any) -> tuple[Any, ...]:
    return tuple(
        getattr(record, name)
        for name in ("message_id", "subscription", "attempt", "event_id", "trace_id")
    )


def handle(delivery: Delivery, handler: Callable[..., Any]) -> None:
    Callback(Subscription(handler, "photos", suffix="thumbs"))(delivery.message)


def test_what_a_handler_logs_says_which_message_it_is_about(deliver: Deliver, lines: Lines) -> None:
    delivery = deliver(event_id="e-1", googclient_traceparent=PARENT)

    handle(delivery, lambda data, **attributes: logging.getLogger("shop").info("shipped"))

    [record] = [each for each in lines.records if each.name == "shop"]
    message = delivery.message
    expected = (message.message_id, "photos-thumbs", message.delivery_attempt or "-", "e-1", TRACE)
    assert fields(record) == expected


def test_other_records_are_about_none(lines: Lines) -> None:
    logging.getLogger("shop").info("started")

    assert fields(lines.records[-1]) == ("-",) * 5
    assert lines.json[-1].keys() == {"time", "severity", "message", "logger"}


def test_what_a_record_has_already_stays(lines: Lines) -> None:
    logging.getLogger("shop").info("started", extra={"message_id": "own"})

    assert lines.records[-1].message_id == "own"
    assert lines.json[-1]["message_id"] == "own"


def test_the_trace_that_the_caller_is_part_of_counts_for_more(
    deliver: Deliver, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IN_USE, "trace_id", lambda: "current")

    handle(
        deliver(traceparent=PARENT),
        lambda data, **attributes: logging.getLogger("shop").info("shipped"),
    )

    assert lines.records[0].trace_id == "current"


@pytest.mark.parametrize("parent", ["", "00", "00-short-b7-01", f"{TRACE}"])
def test_no_trace_is_read_from_what_is_none(deliver: Deliver, lines: Lines, parent: str) -> None:
    handle(
        deliver(traceparent=parent),
        lambda data, **attributes: logging.getLogger("shop").info("shipped"),
    )

    assert lines.records[0].trace_id == "-"


def test_a_record_about_a_publish_is_about_what_is_published(
    deliver: Deliver, lines: Lines
) -> None:
    rele.setup(
        {
            "MIDDLEWARE": ["rele.contrib.LoggingMiddleware"],
            "PUBLISHER_BACKEND": f"{__name__}.SentBackend",
        }
    )

    def publish(data: Any, **attributes: Any) -> None:
        rele.publish("next", {}, event_id="e-2", traceparent=PARENT)

    delivery = deliver(event_id="e-1")
    handle(delivery, publish)

    [line] = [each for each in lines.json if each["message"] == "Published to next"]
    assert (line["event_id"], line["trace_id"]) == ("e-2", TRACE)
    assert line["topic"] == "next"


def failing(data: Any, **attributes: Any) -> None:
    raise ValueError("broken")


def test_a_message_that_has_failed_has_its_payload_without_secrets(
    deliver: Deliver, lines: Lines
) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"], "LOG_PAYLOAD_LIMIT": 40})
    payload = b'{"password": "hunter2", "text": "%s"}' % (b"x" * 100)

    handle(deliver(payload, api_key="hunter2", country="ES"), failing)

    [line] = [each for each in lines.json if each.get("status") == "failed"]
    assert line["payload"].startswith('{"password": "***", "text": "xxx')
    assert line["payload"].endswith("characters more)")
    assert line["attributes"] == {"api_key": "***", "country": "ES"}
    assert line["severity"] == "ERROR"
    assert "ValueError: broken" in line["exception"]
    assert "hunter2" not in json.dumps(line)
    assert line["duration_seconds"] >= 0


def test_a_message_that_has_succeeded_has_none(deliver: Deliver, lines: Lines) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"]})

    handle(deliver(b'{"id": 1}'), lambda data, **attributes: None)

    [line] = [each for each in lines.json if each.get("status") == "succeeded"]
    assert "payload" not in line


def test_with_payloads_off_there_is_a_fingerprint(deliver: Deliver, lines: Lines) -> None:
    rele.setup({"MIDDLEWARE": ["rele.contrib.LoggingMiddleware"], "LOG_PAYLOADS": False})

    handle(deliver(b'{"id": 1}'), failing)

    [line] = [each for each in lines.json if each.get("status") == "failed"]
    assert line["payload"].startswith("9 bytes, SHA-256 ")


def test_what_a_line_cannot_have_in_json_is_its_text(lines: Lines) -> None:
    logging.getLogger("shop").info("%s", {1, 2}, extra={"message_id": object()})

    assert lines.json[-1]["message"] == "{1, 2}"
