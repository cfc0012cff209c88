"""Relé's own consumer behind a connection that breaks, goes silent or is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rele.engine.times import Times
from tests.support.handled import Handled, consumed, end
from tests.support.inbox import Inbox
from tests.support.ledger import Expected, check_handled
from tests.support.proxy import Proxy
from tests.support.pubsub_topic import TopicWithSubscription

TIMES = Times(first_pause=0.2, longest_random_pause=0.5)

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def make_topic(
    embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TopicWithSubscription]]:
    """Create a topic with a subscription, on the server itself."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    made: list[TopicWithSubscription] = []

    def make(**fields: Any) -> TopicWithSubscription:
        made.append(TopicWithSubscription(**fields))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_proxy(
    embedded_server: str,
    make_topic: Callable[..., TopicWithSubscription],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeProxy]:
    """Put a proxy before the server, to which the environment leads from now on."""
    proxies: list[Proxy] = []

    def make(latency: float = 0.0) -> Proxy:
        proxy = Proxy(embedded_server, latency)
        proxies.append(proxy)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        return proxy

    yield make
    for each in proxies:
        each.cut()


NUMBERS = [b"%d" % number for number in range(30)]


@pytest.mark.slow
def test_after_an_outage_longer_than_the_leases_nothing_lost_is_begun(
    make_topic: Callable[..., TopicWithSubscription], make_proxy: MakeProxy
) -> None:
    """Google's client handled 28 of 30 messages twice, knowing that their leases had ended."""
    topic = make_topic(ack_deadline_seconds=10)
    proxy = make_proxy()
    may_end = threading.Event()
    begun = Inbox()

    def handle(message: Any) -> None:
        begun.put(message.data)
        may_end.wait(60)
        message.ack()

    topic.publish(*NUMBERS)
    with consumed(
        topic.name, handle, threads=1, times=TIMES, adapts=False, max_messages=30, ack_deadline=10
    ):
        begun.wait_for(1)
        time.sleep(0.5)  # until the others were received, too
        proxy.cut()
        time.sleep(13)
        proxy.resume()
        time.sleep(4)  # until they are redelivered, behind those whose leases have ended
        may_end.set()
        begun.wait_until(lambda items: set(items) == set(NUMBERS), 60)
        time.sleep(1)  # within which others would be begun again

    numbers = list(map(int, begun.items))
    again = Expected(again=numbers[:1])  # it had begun before the outage
    assert check_handled(numbers, range(30), again) == []
    assert numbers.count(numbers[0]) <= 2


def test_what_was_on_its_way_when_the_connection_was_reset_is_handled_soon(
    make_topic: Callable[..., TopicWithSubscription], make_proxy: MakeProxy
) -> None:
    """Not after the subscription's ack deadline: a stream has one of its own, which is short."""
    topic = make_topic(ack_deadline_seconds=600)
    proxy = make_proxy()
    handled = Handled()
    with consumed(topic.name, handled, times=TIMES):
        for number in range(10):
            topic.publish(*[b"%d-%d" % (number, each) for each in range(100)])
            proxy.cut()
            proxy.resume()
        handled.messages.wait_until(lambda items: len({each.data for each in items}) == 1000, 30)


@pytest.mark.slow
def test_a_connection_that_goes_silent_is_replaced(
    make_topic: Callable[..., TopicWithSubscription], make_proxy: MakeProxy
) -> None:
    """With the keepalives of a stream alone: those of the connection are answered by the system."""
    topic = make_topic()
    proxy = make_proxy()
    handled = Handled()
    with consumed(topic.name, handled):
        topic.publish(b"0")
        handled.wait_for(1)
        proxy.stall()
        proxy.resume()
        topic.publish(*NUMBERS)
        handled.messages.wait_until(lambda items: {each.data for each in items} >= set(NUMBERS), 90)


@pytest.mark.slow
def test_half_a_second_of_latency_is_no_limit_to_throughput(
    make_topic: Callable[..., TopicWithSubscription], make_proxy: MakeProxy
) -> None:
    """Google's client handled 91 messages a minute: one response a round trip."""
    topic = make_topic(ack_deadline_seconds=60)
    for _ in range(2):
        topic.publish(*[b"x"] * 1000)
    make_proxy(latency=0.25)
    handled = Handled()
    started = time.monotonic()
    with consumed(topic.name, handled):
        handled.wait_for(2000, seconds=40)
    assert time.monotonic() - started < 40


def test_a_stop_during_an_outage_waits_for_no_confirmation(
    make_topic: Callable[..., TopicWithSubscription], make_proxy: MakeProxy
) -> None:
    """With exactly-once delivery a handler waits for Pub/Sub's answer to its ack."""
    topic = make_topic(enable_exactly_once_delivery=True, ack_deadline_seconds=60)
    proxy = make_proxy()
    may_end = threading.Event()
    begun = Inbox()

    def handle(message: Any) -> None:
        begun.put(message)
        may_end.wait(60)
        message.ack_with_response().result(60)

    topic.publish(*NUMBERS)
    with consumed(topic.name, handle, times=TIMES, is_exactly_once=True) as consumer:
        begun.wait_for(2)
        proxy.cut()
        may_end.set()
        time.sleep(0.5)
        started = time.monotonic()
        assert end(consumer, 30) == 0
        assert time.monotonic() - started < 2
