"""What follows a channel while streams fail, in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rele.engine.google.channel_watch import ChannelWatch
from rele.engine.times import Times
from tests.support.virtual_time import VirtualTime

OLD = 3600.0
"""Seconds for which a stream had been open."""


class Channel:
    """A gRPC channel that reports its state."""

    def __init__(self) -> None:
        self._state = "READY"
        self.watchers: list[Callable[[Any], None]] = []
        self.fails = 0

    def subscribe(self, callback: Callable[[Any], None], try_to_connect: bool) -> None:
        assert try_to_connect
        if self.fails:
            self.fails -= 1
            raise RuntimeError("can't start new thread")
        self.watchers.append(callback)
        callback(SimpleNamespace(name=self._state))

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        self.watchers = [each for each in self.watchers if each != callback]

    def become(self, state: str) -> None:
        self._state = state
        for watcher in self.watchers:
            watcher(SimpleNamespace(name=state))


@pytest.fixture(autouse=True)
def _show_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def watch(channel: Channel, time: VirtualTime) -> Iterator[ChannelWatch]:
    watch = ChannelWatch("pubsub.example:443", Times(), time)
    watch.watch(channel)
    watch.start()
    yield watch
    watch.close()


def test_an_hour_of_an_outage_is_a_line_a_minute_and_its_end(
    watch: ChannelWatch, channel: Channel, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    channel.become("TRANSIENT_FAILURE")
    watch.note_failure(OLD, "Socket closed")
    time.advance(3600)

    assert len(caplog.messages) == 60
    assert watch.is_unavailable

    channel.become("READY")
    time.advance(2)

    assert caplog.messages[60:] == ["Pub/Sub at pubsub.example:443 answers again, after 3600 s."]
    assert not watch.is_unavailable


def test_the_channel_is_followed_only_during_an_outage(
    watch: ChannelWatch, channel: Channel, time: VirtualTime
) -> None:
    assert channel.watchers == []
    watch.note_failure(OLD, "The stream was ended.")
    time.advance(0)
    assert len(channel.watchers) == 1

    time.advance(5)

    assert channel.watchers == []
    assert time.next_due is None


def test_closed_it_logs_nothing_more(
    watch: ChannelWatch, channel: Channel, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    channel.become("TRANSIENT_FAILURE")
    watch.note_failure(OLD, "Socket closed")
    time.advance(5)

    watch.close()
    channel.become("READY")
    watch.note_failure(OLD, "Socket closed")
    time.advance(3600)

    assert len(caplog.messages) == 1
    assert channel.watchers == []


def test_closed_before_it_has_begun_to_follow_it_does_not(
    watch: ChannelWatch, channel: Channel, time: VirtualTime
) -> None:
    watch.note_failure(OLD, "Socket closed")
    watch.close()

    time.advance(5)

    assert channel.watchers == []


def test_a_channel_that_cannot_be_followed_at_once_is_followed_later(
    watch: ChannelWatch, channel: Channel, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    channel.fails = 3
    channel.become("TRANSIENT_FAILURE")
    watch.note_failure(OLD, "Socket closed")

    for _ in range(3):
        with pytest.raises(RuntimeError):  # which the thread of an Alarm logs
            time.advance(2)
    time.advance(5)

    assert "cannot be reached" in caplog.messages[0]
