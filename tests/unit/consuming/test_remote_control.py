"""What is asked of subscriptions while a worker runs, and read again and again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rele.consuming import remote_control
from rele.consuming.remote_control import RemoteControl
from rele.status.controls import SubscriptionControl
from tests.support.inbox import Inbox

PAUSED = SubscriptionControl(is_paused=True)


class Consumer:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked = Inbox()
        self.fails = 0

    def pause(self) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not now")
        self.asked.put("pause")

    def resume(self) -> None:
        self.asked.put("resume")

    def set_threads(self, threads: int) -> None:
        self.asked.put(threads)


class Controls:
    """What is asked; reading it fails if the test says so."""

    def __init__(self) -> None:
        self.now: Mapping[str, SubscriptionControl] = {}
        self.error: Exception | None = None
        self.read = Inbox()

    def __call__(self) -> Mapping[str, SubscriptionControl]:
        try:
            if self.error is not None:
                raise self.error
            return self.now
        finally:
            self.read.put(None)

    def wait_for_reading(self) -> None:
        """Return when what is asked now was read, and done."""
        self.read.wait_for(len(self.read.items) + 2)


@pytest.fixture
def controls() -> Controls:
    return Controls()


@pytest.fixture
def control(controls: Controls) -> Iterator[RemoteControl]:
    control = RemoteControl([controls], read_every=0.001)
    yield control
    control.end()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def begin(control: RemoteControl, consumer: Any) -> None:
    control.begin({"orders": (consumer, 4)})


def test_what_is_asked_before_the_worker_consumes_is_done_before(
    control: RemoteControl, controls: Controls, consumer: Consumer
) -> None:
    controls.now = {"orders": SubscriptionControl(is_paused=True, threads=9), "others": PAUSED}

    begin(control, consumer)

    assert consumer.asked.items == [9, "pause"]


def test_each_change_is_done_once(
    control: RemoteControl, controls: Controls, consumer: Consumer
) -> None:
    begin(control, consumer)
    controls.wait_for_reading()
    assert consumer.asked.items == []

    controls.now = {"orders": PAUSED}
    consumer.asked.wait_for(1)
    controls.wait_for_reading()
    controls.now = {"orders": SubscriptionControl(threads=8)}
    consumer.asked.wait_for(3)
    controls.now = {}
    consumer.asked.wait_for(4)
    controls.wait_for_reading()

    assert consumer.asked.items == ["pause", 8, "resume", 4]


def test_what_was_read_last_counts_while_nothing_can_be_read(
    control: RemoteControl, controls: Controls, consumer: Consumer, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "rele")
    controls.now = {"orders": PAUSED}
    begin(control, consumer)

    controls.error = ConnectionError("no database")
    for _ in range(3):
        controls.wait_for_reading()

    assert consumer.asked.items == ["pause"]
    assert len([line for line in caplog.messages if "no database" in line]) == 1

    controls.error = None
    controls.wait_for_reading()
    assert consumer.asked.items == ["pause"]
    assert "can be read again" in caplog.text


def test_a_worker_consumes_where_nothing_can_be_read_at_its_start(
    control: RemoteControl, controls: Controls, consumer: Consumer, monkeypatch: Any
) -> None:
    controls.error = ConnectionError("no database")
    begin(control, consumer)
    assert consumer.asked.items == []

    controls.now, controls.error = {"orders": PAUSED}, None
    assert consumer.asked.wait_for(1) == ["pause"]


def test_a_worker_does_not_wait_long_for_a_reader_that_hangs(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_control, "FIRST_WITHIN", 0.01)
    answers = Inbox()

    def hang() -> Mapping[str, SubscriptionControl]:
        answers.wait_for(1)
        return {"orders": PAUSED}

    control = RemoteControl([hang], read_every=0.001)
    begin(control, consumer)
    assert consumer.asked.items == []

    answers.put(None)
    assert consumer.asked.wait_for(1) == ["pause"]
    control.end()


def test_what_fails_is_tried_again(
    control: RemoteControl, controls: Controls, consumer: Consumer, caplog: Any
) -> None:
    consumer.fails = 1
    controls.now = {"orders": PAUSED}

    begin(control, consumer)

    assert consumer.asked.wait_for(1) == ["pause"]
    assert "could not be paused" in caplog.text


def test_without_a_reader_there_is_no_thread(consumer: Consumer) -> None:
    control = RemoteControl([])

    begin(control, consumer)

    assert not control.is_running
