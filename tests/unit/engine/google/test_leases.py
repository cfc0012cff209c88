"""Leases that end when they are due, as a scheduler takes and returns them."""

from __future__ import annotations

import gc
import logging
import re
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from rele.engine.google.leases import Lease, Leases
from rele.engine.google.scheduler import DrainingScheduler
from rele.handling.callback import Callback
from rele.subscription import Subscription
from tests.support.inbox import Inbox
from tests.unit.conftest import Delivery, raising
from tests.unit.engine.conftest import Handler

LEASE = 0.2
"""Seconds."""


@pytest.fixture
def scheduler(handler: Handler) -> Iterator[DrainingScheduler]:
    """Two threads; leases that are soon over."""
    with ThreadPoolExecutor(2) as executor:
        scheduler = DrainingScheduler(executor, leases=Leases("photos", LEASE))
        yield scheduler
        handler.let_end()
        scheduler.shutdown()
    for timer in timers():
        timer.join(10)


def make_message(given_back: Inbox) -> Any:
    """One of Google's; it says when it is given back."""
    message = Delivery(b"1", {}).message
    message.nack = partial(given_back.put, message)
    return message


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rele-leases")]


def test_the_lease_of_a_stuck_handler_ends_and_its_stack_is_logged_once(
    scheduler: DrainingScheduler, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    given_back = Inbox()
    message = make_message(given_back)
    began = time.monotonic()
    scheduler.schedule(handler, message)

    assert given_back.wait_for(1) == [message]

    assert LEASE <= time.monotonic() - began < LEASE + 1
    follower = make_message(given_back)
    scheduler.schedule(handler, follower)
    given_back.wait_for(2)  # and with it a second look at the first
    handler.let_end()
    handler.ended.wait_for(2)
    reports = [record for record in caplog.records if "message-1 since" in record.getMessage()]
    assert [record.levelno for record in reports] == [logging.ERROR] * 2
    assert "The handler of photos has had the message message-1 since 20" in caplog.text
    assert "in __call__" in reports[0].getMessage()
    assert "_may_end.wait(10)" in reports[0].getMessage()


def test_the_other_threads_go_on(scheduler: DrainingScheduler, handler: Handler) -> None:
    given_back, handled = Inbox(), Inbox()
    scheduler.schedule(handler, make_message(given_back))
    given_back.wait_for(1)

    for number in range(10):
        scheduler.schedule(handled.put, number)

    assert handled.wait_for(10) == list(range(10))


def test_a_stuck_handler_that_returns_after_all_settles_nothing(
    scheduler: DrainingScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = Delivery(b"1", {})
    may_end, ended = threading.Event(), Inbox()

    def work(data: Any, **attributes: Any) -> None:
        assert may_end.wait(10)

    def handle(message: Any) -> None:
        Callback(Subscription(work, "photos"))(message)
        ended.put(message)

    scheduler.schedule(handle, delivery.message)
    assert type(delivery.wait_for_request()).__name__ == "NackRequest"

    may_end.set()
    ended.wait_for(1)
    scheduler.shutdown()

    assert delivery.settlements() == []
    assert "has returned from the message message-1 after all" in caplog.text


def test_a_message_that_waits_too_long_is_given_back_and_not_begun(
    scheduler: DrainingScheduler, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    given_back = Inbox()
    messages = [make_message(given_back) for _ in range(4)]
    for message in messages:
        scheduler.schedule(handler, message)
    handler.begun.wait_for(2)

    assert given_back.wait_for(4) == messages

    handler.let_end()
    handler.ended.wait_for(2)
    scheduler.shutdown()
    assert len(given_back.items) == 4
    assert set(handler.begun.items) == set(messages[:2])
    assert len(handler.begun.items) == 2
    # In one line, or in two where the machine was slow to schedule them.
    counts = re.findall(r"(\d) message\(s\) of photos waited for a thread for 0.2 s", caplog.text)
    assert sum(map(int, counts)) == 2


class EndsBeforeItBegins(Leases):
    """The first lease ends at the last moment: a thread has taken its message from the queue."""

    is_first = True

    def begin(self, lease: Lease) -> bool:
        if self.is_first:
            self.is_first = False
            lease.ends_at = time.monotonic()
            assert self._timer is not None
            self._timer.cancel()
            self._end_due()
        return super().begin(lease)


def test_a_lease_that_ends_while_its_message_is_taken_begins_no_handler(handler: Handler) -> None:
    given_back, handled = Inbox(), Inbox()
    with ThreadPoolExecutor(1) as executor:
        scheduler = DrainingScheduler(executor, leases=EndsBeforeItBegins("photos", 3600))
        over = make_message(given_back)
        scheduler.schedule(handler, over)
        scheduler.schedule(handled.put, "next")

        assert given_back.wait_for(1) == [over]
        assert handled.wait_for(1) == ["next"]
        scheduler.shutdown()

    assert handler.begun.items == []
    assert scheduler.running == 0
    assert given_back.items == [over]


def test_leases_that_end_one_after_another_are_logged_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given_back = Inbox()
    leases = Leases("photos", LEASE)
    for number in range(6):
        lease = leases.take(make_message(given_back))
        lease.ends_at += number * 0.15

    given_back.wait_for(6)

    counts = re.findall(r"(\d) message\(s\) of photos waited for a thread", caplog.text)
    assert sum(map(int, counts)) == 6
    assert len(counts) <= 2, caplog.text
    for timer in timers():
        timer.join(10)


def test_what_was_given_back_is_not_kept_while_all_threads_are_stuck(
    scheduler: DrainingScheduler, handler: Handler
) -> None:
    for _ in range(2):
        scheduler.schedule(handler, make_message(Inbox()))
    handler.begun.wait_for(2)
    given_back = threading.Event()
    waiting = Delivery(b"1", {}).message
    waiting.nack = given_back.set  # type: ignore[method-assign]
    scheduler.schedule(handler, waiting)
    trace = weakref.ref(waiting)
    del waiting
    assert given_back.wait(10)

    scheduler.schedule(handler, make_message(Inbox()))

    assert wait_until_gone(trace)


def wait_until_gone(trace: weakref.ref[Any]) -> bool:
    deadline = time.monotonic() + 10
    while trace() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)  # the timer's thread may still be about to let it go
    return trace() is None


def test_a_message_that_is_handled_in_time_is_not_given_back(
    scheduler: DrainingScheduler, handler: Handler
) -> None:
    given_back, handled = Inbox(), Inbox()
    scheduler.schedule(handled.put, make_message(given_back))
    handled.wait_for(1)
    stuck = make_message(given_back)

    scheduler.schedule(handler, stuck)

    assert given_back.wait_for(1) == [stuck]


def test_no_timer_runs_while_nothing_is_in_hand(scheduler: DrainingScheduler) -> None:
    handled = Inbox()
    scheduler.schedule(handled.put, make_message(Inbox()))
    handled.wait_for(1)

    for timer in timers():
        timer.join(10)

    assert timers() == []
    scheduler.schedule(handled.put, make_message(Inbox()))
    assert len(timers()) == 1


def test_no_timer_runs_after_shutdown() -> None:
    handled = Inbox()
    with ThreadPoolExecutor(1) as executor:
        scheduler = DrainingScheduler(executor, leases=Leases("photos", 3600))
        scheduler.schedule(handled.put, make_message(Inbox()))
        handled.wait_for(1)
        [timer] = timers()

        scheduler.shutdown()

        timer.join(10)
        assert not timer.is_alive()


def test_a_timer_that_cannot_end_a_lease_ends_the_next(
    scheduler: DrainingScheduler,
    handler: Handler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures, given_back = Inbox(), Inbox()
    monkeypatch.setattr(threading, "excepthook", failures.put)
    broken = Delivery(b"1", {}).message
    broken.nack = raising(RuntimeError("no connection"))  # type: ignore[method-assign]
    scheduler.schedule(handler, broken)
    failures.wait_for(1)
    message = make_message(given_back)

    scheduler.schedule(handler, message)

    assert given_back.wait_for(1) == [message]
