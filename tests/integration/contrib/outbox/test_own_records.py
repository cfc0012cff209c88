"""A log handler that publishes what is logged, through the outbox: relays log, too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rele
from rele.contrib.outbox.relaying.relay import OutboxRelay
from rele.middleware import BaseMiddleware, register_middleware
from rele.runtime.in_use import IN_USE
from tests.support.in_use import register
from tests.support.outbox import REFUSED, FakePubSub, make_due, waiting

pytestmark = pytest.mark.usefixtures("database")

MakeRelay = Callable[..., OutboxRelay]

MOST = 20
"""A loop is ended after so many records, or the test would never end."""


class PublishingHandler(logging.Handler):
    """Publishes the text of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if len(self.texts) < MOST:
            rele.publish("records", record.getMessage())


class RefusesAll(dict[str, BaseException]):
    """An error for whatever data."""

    def __contains__(self, data: object) -> bool:
        return True

    def __missing__(self, data: str) -> BaseException:
        return REFUSED


class ReadsSettings:
    """The part of a configuration that the middleware reads."""

    middleware = ("rele.contrib.LoggingMiddleware",)
    app_name = "shop"


@pytest.fixture
def handler() -> Iterator[PublishingHandler]:
    register_middleware(ReadsSettings())  # type: ignore[arg-type]
    handler = PublishingHandler()
    logger = logging.getLogger("rele")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def run_until_nothing_waits(relays: list[OutboxRelay]) -> None:
    for number in range(MOST):
        if not waiting():
            return
        relays[number % len(relays)].run_once()
    pytest.fail(f"After {MOST} runs there is still a message.")


def test_relays_end_with_the_record_about_what_was_published(
    handler: PublishingHandler, servers: FakePubSub, make_relay: MakeRelay
) -> None:
    rele.publish("orders", 1, lang="es")

    run_until_nothing_waits([make_relay(), make_relay()])

    assert handler.texts == ["Published to orders"]
    order, record = servers.accepted
    assert (order.topic, record.topic) == ("orders", "records")
    assert set(order.attributes) == {"lang", "published_at", "event_id"}
    assert set(record.attributes) == {"published_at", "event_id"}


@pytest.mark.parametrize("attempts", [1, 20])
def test_refusals_are_logged_once(
    handler: PublishingHandler, servers: FakePubSub, make_relay: MakeRelay, attempts: int
) -> None:
    servers.errors = RefusesAll()
    rele.publish("orders", 1)

    for _ in range(3):
        make_relay(max_attempts=attempts).run_once()
        make_due()

    about_records = [text for text in handler.texts if "records" in text]
    assert about_records == []
    assert 0 < len(handler.texts) < MOST


def test_the_hooks_get_the_attributes_that_were_sent(
    handler: PublishingHandler, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    class Watch(BaseMiddleware):
        def post_publish_success(self, topic: str, data: Any, attrs: dict[str, Any]) -> None:
            seen.append(attrs)

    register(*(IN_USE.middleware or ()), Watch())
    rele.publish("orders", 1)

    make_relay().run_once()

    assert [set(attributes) for attributes in seen] == [{"published_at", "event_id"}] * 2
