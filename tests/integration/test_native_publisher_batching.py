"""When our own publisher sends what, and how much together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import pytest

import rele
from tests.support.process_figures import count_threads
from tests.support.publish_server import Hold, PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Recorder]

NEVER = {"max_wait": 60}
"""Messages that are gathered would be sent within a minute, which no test waits for."""


def occupy(server: PublishServer, topic: str = "photos", **attributes: Any) -> Hold:
    """Leave a request under way, so that what follows for the topic and key is gathered."""
    held = server.hold(times=1)
    rele.publish(topic, "first", **attributes)
    held.requests.wait_for(1)
    return held


def test_a_message_is_sent_at_once_if_nothing_is_under_way(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING=NEVER)

    for number in range(3):
        assert rele.publish("photos", number).result(timeout=5)

    assert [request.data for request in publish_server.requests.items] == [[b"0"], [b"1"], [b"2"]]


def test_what_is_published_while_a_request_is_under_way_is_sent_within_ten_milliseconds(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    occupy(publish_server)

    began = time.monotonic()
    futures = [rele.publish("photos", number) for number in range(20)]
    assert wait(futures, timeout=5).not_done == set()

    _, *gathered = publish_server.requests.items
    assert sum(len(request.messages) for request in gathered) == 20
    assert len(gathered) <= 2
    assert gathered[0].at - began < 0.1


def test_a_thousand_messages_are_sent_without_waiting_in_at_most_four_requests_of_a_topic(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING=NEVER)
    held = publish_server.hold()
    futures = [rele.publish("photos", "first")]
    held.requests.wait_for(1)

    futures += [rele.publish("photos", number) for number in range(5000)]
    held.requests.wait_for(4)
    assert rele.publish("others", 1).done() is False
    held.requests.wait_for(5)

    assert [len(r.messages) for r in publish_server.requests.items] == [1, 1000, 1000, 1000, 1]
    held.release()
    assert wait(futures, timeout=10).not_done == set()
    assert sum(len(r.messages) for r in publish_server.requests.items) == 5002


def test_requests_hold_at_most_a_megabyte(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING=NEVER)
    held = occupy(publish_server)

    futures = [rele.publish("photos", "x" * 100_000) for _ in range(30)]
    publish_server.requests.wait_for(4)
    held.release()
    assert rele.flush(10)

    assert wait(futures, timeout=5).not_done == set()
    _, *others = publish_server.requests.items
    assert all(800_000 < request.size <= 1_000_000 for request in others[:3])


def test_the_settings_limit_a_request(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING={"max_messages": 10, "max_bytes": 2_000, "max_wait": 60})
    held = occupy(publish_server)

    futures = [rele.publish("photos", number) for number in range(50)]
    futures += [rele.publish("photos", "x" * 500) for _ in range(30)]
    held.release()
    assert rele.flush(10)

    assert wait(futures, timeout=5).not_done == set()
    requests = publish_server.requests.items
    assert max(len(request.messages) for request in requests) == 10
    assert max(request.size for request in requests) <= 2_000


def test_a_single_message_may_be_larger_than_the_limit_of_a_request(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING={"max_bytes": 2_000})

    assert rele.publish("photos", "x" * 50_000).result(timeout=5)


def test_an_ordering_key_has_one_request_under_way_and_keeps_its_order(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    held = publish_server.hold(key="a")
    futures = [rele.publish("photos", number, ordering_key="a") for number in range(10)]
    held.requests.wait_for(1)
    others = [rele.publish("photos", number, ordering_key="b") for number in range(10)]
    assert wait(others, timeout=5).not_done == set()

    assert len(held.requests.items) == 1
    held.release()
    assert wait(futures, timeout=5).not_done == set()

    numbers = [b"%d" % number for number in range(10)]
    assert publish_server.data_by_key() == {"a": numbers, "b": numbers}
    assert all(len(request.keys) == 1 for request in publish_server.requests.items)


def test_many_ordering_keys_need_no_thread_each(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    rele.publish("photos", "first", blocking=True)
    before = count_threads()

    futures = [
        rele.publish("photos", number, ordering_key=str(number % 1000)) for number in range(10_000)
    ]
    threads = count_threads()
    assert wait(futures, timeout=60).not_done == set()

    assert threads - before <= 4  # gRPC's own
    by_key = publish_server.data_by_key()
    assert len(by_key) == 1001
    for key in range(1000):
        assert by_key[str(key)] == [b"%d" % number for number in range(key, 10_000, 1000)]


def test_a_process_has_at_most_32_requests_under_way(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    held = publish_server.hold()

    futures = [rele.publish(f"topic-{number}", number) for number in range(40)]
    held.requests.wait_for(32)
    more = rele.publish("topic-40", 40)
    rele.flush(0.2)

    assert len(held.requests.items) == 32
    held.release()
    assert wait([*futures, more], timeout=10).not_done == set()


def test_a_blocking_publish_waits_for_no_timer(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING=NEVER)
    occupy(publish_server)
    gathered = rele.publish("photos", "gathered")

    assert rele.publish("photos", "urgent", blocking=True, timeout=5).result(0)

    assert gathered.result(timeout=5)


def test_publish_many_sends_a_thousand_in_a_request(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively(PUBLISHER_BATCHING=NEVER)

    futures = rele.publish_many("photos", range(2500), blocking=True, timeout=10)

    assert len({future.result(0) for future in futures}) == 2500
    assert len(publish_server.requests.items) <= 4


def test_threads_that_block_share_requests(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    rele.publish("photos", "first", blocking=True)
    publish_server.delay = 0.01

    def work() -> None:
        for number in range(20):
            rele.publish("photos", number, blocking=True, timeout=20)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(publish_server.accepted.items) == 641
    assert len(publish_server.requests.items) < 641 / 4


def test_flush_sends_what_is_gathered_and_waits_for_it(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively(PUBLISHER_BATCHING=NEVER)
    held = occupy(publish_server)
    futures = [rele.publish("photos", number) for number in range(5)]

    assert not rele.flush(0.2)  # the first one is not answered
    assert all(future.done() for future in futures)
    held.release()
    assert rele.flush(10)

    assert len(recorder.calls) == 6


@pytest.mark.parametrize(("size", "encoding"), [(10, "identity"), (5_000, "gzip")])
def test_requests_from_a_size_on_are_compressed(
    publish_server: PublishServer, publishes_natively: Configure, size: int, encoding: str
) -> None:
    publishes_natively(PUBLISHER_COMPRESSION=1_000)

    rele.publish("photos", "x" * size, blocking=True, timeout=10)

    [request] = publish_server.requests.items
    assert request.encoding == encoding
    assert request.data == [b'"' + b"x" * size + b'"']
    if encoding == "gzip":
        assert request.wire_bytes < request.size / 4


def test_nothing_is_compressed_by_default(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()

    rele.publish("photos", "x" * 100_000, blocking=True, timeout=10)

    [request] = publish_server.requests.items
    assert request.encoding == "identity"
