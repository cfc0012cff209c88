"""Leases that end when they are due, as a scheduler takes and returns them."""

from __future__ import annotations

import gc
import logging
import re
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from rele.engine.base import Message
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.leases import Leases
from rele.handling.callback import Callback
from rele.subscription import Subscription
from tests.support.deliveries import Delivery
from tests.support.inbox import Inbox
from tests.support.recorder import raising
from tests.support.virtual_time import VirtualTime
from tests.unit.engine.conftest import Handler

LEASE = 600.0
"""Seconds of virtual time."""


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def scheduler(handler: Handler, time: VirtualTime) -> Iterator[DrainingScheduler]:
    """Two threads."""
    with ThreadPoolExecutor(2) as executor:
        scheduler = DrainingScheduler(executor, 2, time, name="photos", leases=Leases(LEASE))
        yield scheduler
        handler.let_end()
        scheduler.shutdown()


def make_message(nacked: Inbox) -> Any:
    """One of Google's; it says when it is nacked."""
    message = Delivery(b"1", {}).message
    message.nack = partial(nacked.put, message)
    return message


def test_the_lease_of_a_stuck_handler_ends_and_its_stack_is_logged_once(
    scheduler: DrainingScheduler,
    time: VirtualTime,
    handler: Handler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nacked = Inbox()
    message = make_message(nacked)
    scheduler.schedule(handler, message)
    handler.begun.wait_for(1)

    time.advance(LEASE - 1)
    assert nacked.items == []
    time.advance(2)
    assert nacked.items == [message]

    follower = make_message(nacked)
    scheduler.schedule(handler, follower)
    handler.begun.wait_for(2)
    time.advance(3600)
    assert nacked.items == [message, follower]
    handler.let_end()
    handler.ended.wait_for(2)
    reports = [record for record in caplog.records if "message-1 since" in record.getMessage()]
    assert [record.levelno for record in reports] == [logging.ERROR] * 2
    assert "The handler of photos has had the message message-1 since 20" in caplog.text
    assert "in __call__" in reports[0].getMessage()
    assert "_may_end.wait(10)" in reports[0].getMessage()


def test_the_other_threads_go_on(
    scheduler: DrainingScheduler, time: VirtualTime, handler: Handler
) -> None:
    nacked, handled = Inbox(), Inbox()
    scheduler.schedule(handler, make_message(nacked))
    handler.begun.wait_for(1)
    time.advance(LEASE + 1)
    assert len(nacked.items) == 1

    for number in range(10):
        scheduler.schedule(handled.put, number)

    assert handled.wait_for(10) == list(range(10))


def test_a_stuck_handler_that_returns_after_all_settles_nothing(
    scheduler: DrainingScheduler, time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = Delivery(b"1", {})
    begun, may_end, ended = Inbox(), threading.Event(), Inbox()

    def work(data: Any, **attributes: Any) -> None:
        begun.put(data)
        assert may_end.wait(10)

    def handle(message: Message) -> None:
        Callback(Subscription(work, "photos"))(message)
        ended.put(message)

    scheduler.schedule(handle, delivery.message)
    begun.wait_for(1)
    time.advance(LEASE + 1)
    assert type(delivery.wait_for_request()).__name__ == "NackRequest"

    may_end.set()
    ended.wait_for(1)
    scheduler.shutdown()

    assert delivery.settlements() == []
    assert "has returned from the message message-1 after all" in caplog.text


def test_a_message_that_waits_too_long_is_nacked_and_not_begun(
    scheduler: DrainingScheduler,
    time: VirtualTime,
    handler: Handler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nacked = Inbox()
    messages = [make_message(nacked) for _ in range(4)]
    for message in messages:
        scheduler.schedule(handler, message)
    handler.begun.wait_for(2)

    time.advance(LEASE + 1)
    assert nacked.items == messages

    handler.let_end()
    handler.ended.wait_for(2)
    scheduler.shutdown()
    assert len(nacked.items) == 4
    assert set(handler.begun.items) == set(messages[:2])
    assert len(handler.begun.items) == 2
    assert "2 message(s) of photos waited for a thread for 600 s" in caplog.text


def test_a_lease_that_ends_while_its_message_waits_begins_no_handler(
    scheduler: DrainingScheduler, time: VirtualTime, handler: Handler
) -> None:
    nacked, handled = Inbox(), Inbox()
    for _ in range(2):
        scheduler.schedule(handler, make_message(Inbox()))
    handler.begun.wait_for(2)
    over = make_message(nacked)
    scheduler.schedule(raising(AssertionError("begun")), over)
    time.advance(LEASE + 1)

    scheduler.schedule(handled.put, "next")
    handler.let_end()

    assert handled.wait_for(1) == ["next"]
    assert nacked.items == [over]


def test_leases_that_end_one_after_another_are_logged_once_a_second(
    scheduler: DrainingScheduler,
    time: VirtualTime,
    handler: Handler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        scheduler.schedule(handler, make_message(Inbox()))
    handler.begun.wait_for(2)
    nacked = Inbox()
    for _ in range(60):
        scheduler.schedule(handler, make_message(nacked))
        time.advance(0.05)

    time.advance(LEASE + 1)

    assert len(nacked.items) == 60
    counts = re.findall(r"(\d+) message\(s\) of photos waited for a thread", caplog.text)
    assert sum(map(int, counts)) == 60
    assert len(counts) <= 4, caplog.text


def test_what_was_nacked_is_not_kept_while_all_threads_are_stuck(
    scheduler: DrainingScheduler, time: VirtualTime, handler: Handler
) -> None:
    for _ in range(2):
        scheduler.schedule(handler, make_message(Inbox()))
    handler.begun.wait_for(2)
    nacked = threading.Event()
    waiting = Delivery(b"1", {}).message
    waiting.nack = nacked.set  # type: ignore[method-assign]
    scheduler.schedule(handler, waiting)
    trace = weakref.ref(waiting)
    del waiting
    time.advance(LEASE + 1)
    assert nacked.is_set()

    scheduler.schedule(handler, make_message(Inbox()))

    gc.collect()
    assert trace() is None


def test_a_message_that_is_handled_in_time_is_not_nacked(
    scheduler: DrainingScheduler, time: VirtualTime, handler: Handler
) -> None:
    nacked, handled = Inbox(), Inbox()
    scheduler.schedule(handled.put, make_message(nacked))
    handled.wait_for(1)
    stuck = make_message(nacked)
    scheduler.schedule(handler, stuck)
    handler.begun.wait_for(1)

    time.advance(LEASE + 1)

    assert nacked.items == [stuck]


def test_nothing_is_due_while_nothing_is_outstanding(time: VirtualTime) -> None:
    with ThreadPoolExecutor(1) as executor:
        scheduler = DrainingScheduler(executor, 1, time, leases=Leases(LEASE))
        scheduler.schedule(Inbox().put, make_message(Inbox()))

    time.advance(LEASE + 1)

    assert time.next_due is None


def test_nothing_is_due_after_shutdown(scheduler: DrainingScheduler, time: VirtualTime) -> None:
    handled = Inbox()
    scheduler.schedule(handled.put, make_message(Inbox()))
    handled.wait_for(1)
    assert time.next_due is not None

    scheduler.shutdown()

    assert time.next_due is None


def test_a_message_that_cannot_be_nacked_does_not_keep_the_next_from_it(
    scheduler: DrainingScheduler,
    time: VirtualTime,
    handler: Handler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Delivery(b"1", {}).message
    broken.nack = raising(RuntimeError("no connection"))  # type: ignore[method-assign]
    scheduler.schedule(handler, broken)
    nacked = Inbox()
    message = make_message(nacked)
    scheduler.schedule(handler, message)
    handler.begun.wait_for(2)

    time.advance(LEASE + 1)

    assert nacked.items == [message]
    assert "A message of photos could not be nacked" in caplog.text
