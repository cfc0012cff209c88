"""How much may be outstanding in our own publisher, and what a publish does at that bound."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rele
from rele.exceptions import PublisherFull
from tests.support.polling import wait_until
from tests.support.publish_server import Hold, PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Recorder]

SUCCESS, FAILURE = "post_publish_success", "post_publish_failure"

LONG = 60
"""Seconds of a timeout that no test waits for."""


@pytest.fixture
def held(publish_server: PublishServer) -> Hold:
    """Requests, none of which is answered until they are released."""
    return publish_server.hold()


@pytest.fixture
def full(held: Hold, publishes_natively: Configure) -> Recorder:
    """Our publisher has as much outstanding as it may."""
    recorder = publishes_natively(PUBLISHER_LIMITS={"max_messages": 10})
    for number in range(10):
        rele.publish("photos", number, timeout=0)
    return recorder


def test_at_the_bound_a_publish_waits_and_then_fails(full: Recorder, held: Hold) -> None:
    began = time.monotonic()
    with pytest.raises(PublisherFull, match="PUBLISHER_LIMITS"):
        rele.publish("photos", "more", timeout=0.3)

    assert 0.3 <= time.monotonic() - began < 2
    [(name, topic, error, data)] = full.calls
    assert (name, topic, data) == (FAILURE, "photos", "more")
    assert isinstance(error, PublisherFull)
    held.release()
    assert len(full.wait_for(11)) == 11


@pytest.mark.parametrize("blocking", [False, True])
def test_the_failure_is_in_the_future_too(full: Recorder, blocking: bool) -> None:
    future = rele.publish("photos", 1, blocking=blocking, timeout=0.1, raise_exception=False)

    assert isinstance(future.exception(timeout=0), PublisherFull)
    assert isinstance(full.calls[0][2], PublisherFull)


def test_publisher_timeout_is_how_long_it_waits(held: Hold, publishes_natively: Configure) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 1}, PUBLISHER_TIMEOUT=0.4)
    rele.publish("photos", 1)

    began = time.monotonic()
    with pytest.raises(PublisherFull):
        rele.publish("photos", 2)

    assert 0.4 <= time.monotonic() - began < 2


def test_a_publish_that_waits_goes_on_as_soon_as_there_is_room(full: Recorder, held: Hold) -> None:
    futures: list[Any] = []
    thread = threading.Thread(
        target=lambda: futures.append(rele.publish("photos", "more", timeout=LONG))
    )
    thread.start()
    held.requests.wait_for(1)

    held.release()
    thread.join(10)

    assert futures[0].result(timeout=10)


def test_after_that_publishing_goes_on(full: Recorder, held: Hold) -> None:
    rele.publish("photos", 1, timeout=0, raise_exception=False)
    held.release()
    assert rele.flush(10) in (True, False)

    futures = [rele.publish("photos", number, timeout=LONG) for number in range(100)]

    assert all(future.result(timeout=10) for future in futures)


def test_it_fails_at_once_in_a_running_event_loop(full: Recorder) -> None:
    async def main() -> BaseException | None:
        return rele.publish("photos", 1, timeout=LONG, raise_exception=False).exception(0)

    began = time.monotonic()
    error = asyncio.run(main())

    assert isinstance(error, PublisherFull)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("where", ["hook", "callback"])
def test_it_fails_at_once_in_a_hook_and_in_a_callback(
    held: Hold, publishes_natively: Configure, where: str
) -> None:
    recorder = publishes_natively(PUBLISHER_LIMITS={"max_messages": 3})
    errors: list[Any] = []

    def publish_too_much(*_: Any) -> None:
        began = time.monotonic()
        futures = [rele.publish("more", n, timeout=LONG, raise_exception=False) for n in range(5)]
        errors.extend(future.exception(0) for future in futures if future.done())
        errors.append(time.monotonic() - began)

    first = rele.publish("photos", 1)
    if where == "hook":
        recorder.actions[SUCCESS] = lambda topic, *_: topic == "photos" and publish_too_much()
    else:
        first.add_done_callback(publish_too_much)
    held.requests.wait_for(1)
    held.release_held()
    deadline = time.monotonic() + 10
    while not errors or not isinstance(errors[-1], float):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    *failures, seconds = errors
    assert len(failures) >= 2
    assert all(isinstance(error, PublisherFull) for error in failures)
    assert seconds < 2


@pytest.fixture
def alarm() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Call a function in a signal handler of the main thread, soon."""
    before = signal.getsignal(signal.SIGUSR1)

    def soon(function: Callable[[], Any]) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: function())
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGUSR1]).start()

    yield soon
    signal.signal(signal.SIGUSR1, before)


def test_it_fails_at_once_in_a_signal_handler_that_interrupted_a_publish(
    full: Recorder, held: Hold, alarm: Callable[[Callable[[], Any]], None]
) -> None:
    errors: list[Any] = []

    def publish_in_handler() -> None:
        began = time.monotonic()
        future = rele.publish("photos", "handler", timeout=LONG, raise_exception=False)
        errors.append(future.exception(0))
        errors.append(time.monotonic() - began)
        held.release()

    alarm(publish_in_handler)
    waiting = rele.publish("photos", "waiting", timeout=LONG)

    error, seconds = errors
    assert isinstance(error, PublisherFull)
    assert seconds < 2
    assert waiting.result(timeout=10)


def test_bytes_are_bounded_too(held: Hold, publishes_natively: Configure) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_bytes": 100_000})

    futures = [
        rele.publish("photos", "x" * 10_000, timeout=0, raise_exception=False) for _ in range(20)
    ]

    refused = [future for future in futures if future.done()]
    assert len(refused) == 11
    assert all(isinstance(future.exception(0), PublisherFull) for future in refused)


def test_it_says_how_much_is_outstanding(full: Recorder, held: Hold) -> None:
    publisher = rele.publishing.get_publisher()

    messages, size = publisher.outstanding

    assert messages == 10
    assert size is not None
    assert 10 * len("photos") < size < 2000
    held.release()
    full.wait_for(10)
    wait_until(lambda: publisher.outstanding == (0, 0), 10)


def test_one_message_above_the_limit_is_taken_if_nothing_else_is_outstanding(
    held: Hold, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_bytes": 1_000})

    large = rele.publish("photos", "x" * 50_000, timeout=0)
    with pytest.raises(PublisherFull):
        rele.publish("photos", "x" * 50_000, timeout=0.1)
    held.release()

    assert large.result(timeout=10)
    assert rele.publish("photos", "x" * 50_000, timeout=LONG).result(timeout=10)


def test_threads_exceed_the_bound_by_one_message_each_at_most(
    held: Hold, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 500})
    taken: list[Any] = []

    def publish() -> None:
        for number in range(200):
            future = rele.publish("photos", number, timeout=0, raise_exception=False)
            if not future.done():
                taken.append(future)

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert 500 <= len(taken) <= 508


def test_publish_many_larger_than_the_bound_waits_for_room_meanwhile(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 1_000})
    publish_server.delay = 0.01

    futures = rele.publish_many("photos", range(10_000), timeout=LONG)

    assert len({future.result(timeout=20) for future in futures}) == 10_000


@pytest.mark.parametrize(
    "limits", [{"max_messages": 100}, {"max_bytes": 100_000}], ids=["messages", "bytes"]
)
def test_publish_many_exceeds_no_bound(
    held: Hold, publishes_natively: Configure, limits: dict[str, int]
) -> None:
    publishes_natively(PUBLISHER_LIMITS=limits)

    futures = rele.publish_many(
        "photos", ["x" * 1000] * 900, timeout=0.1, raise_exception=False, blocking=False
    )

    taken = [future for future in futures if not future.done()]
    assert 75 <= len(taken) <= 100
    assert taken == futures[: len(taken)]
    assert {type(future.exception(0)) for future in futures[len(taken) :]} == {PublisherFull}


def test_publish_many_finds_room_while_others_publish(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 100})
    held = publish_server.hold(data=b'"held"')
    rele.publish("others", "held")
    held.requests.wait_for(1)

    futures = rele.publish_many("photos", range(900), timeout=LONG)

    assert len({future.result(timeout=20) for future in futures}) == 900


def test_what_has_waited_for_room_is_forgotten(held: Hold, publishes_natively: Configure) -> None:
    publishes_natively(PUBLISHER_LIMITS={"max_messages": 1})
    rele.publish("photos", 1)
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        rele.publish("photos", 2, timeout=1, raise_exception=False)
        gc.collect()
        grown = tracemalloc.take_snapshot().compare_to(before, "lineno")
    finally:
        tracemalloc.stop()

    # It checks every 50 ms whether there is room: nothing is kept of each time.
    assert [each for each in grown if _is_of_engine(each) and each.count_diff >= 15] == []


def _is_of_engine(difference: tracemalloc.StatisticDiff) -> bool:
    return "/engine/native/" in difference.traceback[0].filename
