from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rele.engine.google import availability
from rele.engine.google.availability import Availability
from tests.support.inbox import Inbox

OLD = 3600.0
"""Seconds for which a stream had been open."""


class Channel:
    """A gRPC channel that tells of its state."""

    def __init__(self) -> None:
        self._state = "READY"
        self._watchers: list[Callable[[Any], None]] = []
        self._lock = threading.Lock()  # states are told in their order, as gRPC does
        self.events = Inbox()

    def subscribe(self, callback: Callable[[Any], None], try_to_connect: bool) -> None:
        assert try_to_connect
        with self._lock:
            self._watchers.append(callback)
            callback(SimpleNamespace(name=self._state))
        self.events.put("subscribed")

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        self._watchers.remove(callback)
        self.events.put("unsubscribed")

    def become(self, state: str) -> None:
        with self._lock:
            self._state = state
            for watcher in self._watchers:
                watcher(SimpleNamespace(name=state))


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put(record.getMessage())


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "GRACE", 0.05)
    monkeypatch.setattr(availability, "SETTLED", 1.5)
    monkeypatch.setattr(availability, "_CONFIRMED", 0.2)
    monkeypatch.setattr(availability, "_TICK", 0.01)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    handler = Lines()
    availability.logger.addHandler(handler)
    monkeypatch.setattr(availability.logger, "level", logging.INFO)
    availability.logger.manager._clear_cache()  # type: ignore[attr-defined]
    yield handler.inbox
    availability.logger.removeHandler(handler)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def seen(channel: Channel) -> Iterator[Availability]:
    seen = Availability("pubsub.example:443")
    seen.watch(channel)
    yield seen
    seen.close()


def test_a_lost_connection_is_said_and_its_return(
    seen: Availability, channel: Channel, lines: Inbox
) -> None:
    channel.become("TRANSIENT_FAILURE")
    seen.note_failure(OLD, "Socket closed")

    [line] = lines.wait_for(1)
    assert line.startswith("Pub/Sub at pubsub.example:443 cannot be reached, for 0 s now")
    assert line.endswith(
        "check the network, and the api_endpoint of RELE['CLIENT_OPTIONS'] if one is set."
    )
    assert seen.is_away

    channel.become("READY")
    assert lines.wait_for(2)[1] == "Pub/Sub at pubsub.example:443 answers again, after 0 s."
    channel.events.wait_for(2)
    assert not seen.is_away


def test_many_streams_that_fail_are_one_line(
    seen: Availability, channel: Channel, lines: Inbox
) -> None:
    channel.become("CONNECTING")
    for _ in range(100):
        seen.note_failure(OLD, "Socket closed")

    lines.wait_for(1)
    channel.become("READY")

    channel.events.wait_for(2)
    assert len(lines.items) == 2


def test_a_stream_that_is_ended_for_its_age_is_no_trouble(
    seen: Availability, channel: Channel, lines: Inbox
) -> None:
    seen.note_failure(OLD, "The stream was ended.")

    channel.events.wait_for(2)
    assert lines.items == []
    assert not seen.is_away


def test_streams_that_are_refused_are_said_with_the_reason(
    seen: Availability, channel: Channel, lines: Inbox
) -> None:
    seen.note_failure(OLD, "The stream was ended.")
    channel.events.wait_for(1)
    seen.note_failure(0.0, "no\n token")

    [line] = lines.wait_for(1)
    assert "cannot be used, for 0 s now" in line
    assert line.endswith("the reason: no token")
    assert lines.wait_for(2)[1].endswith("answers again, after 0 s.")


def test_streams_that_are_refused_long_after_another_are_said(
    seen: Availability, channel: Channel, lines: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "_AT_ONCE", 0.0)
    seen.note_failure(0.0, "no token")
    channel.events.wait_for(2)
    assert lines.items == []

    seen.note_failure(0.0, "no token")

    assert "cannot be used" in lines.wait_for(1)[0]


def test_young_streams_that_lose_their_connection_at_once_are_not_refused(
    seen: Availability, channel: Channel, lines: Inbox
) -> None:
    for _ in range(100):
        seen.note_failure(0.0, "Socket closed")
    channel.become("CONNECTING")
    lines.wait_for(1)
    channel.become("READY")

    channel.events.wait_for(2)
    assert len(lines.items) == 2
    assert "cannot be reached" in lines.items[0]


def test_closed_it_says_nothing_more(seen: Availability, channel: Channel, lines: Inbox) -> None:
    channel.become("TRANSIENT_FAILURE")
    seen.note_failure(OLD, "Socket closed")
    lines.wait_for(1)

    seen.close()
    channel.events.wait_for(2)
    channel.become("READY")
    seen.note_failure(OLD, "Socket closed")

    assert len(lines.items) == 1
