"""The connections of our own publisher: replaced where nothing comes back, shared otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from grpc import StatusCode

from rele.backends import Message
from rele.engine.connection import Connection
from rele.engine.native.publishing.publisher import NativePublisher
from rele.engine.native.publishing.retrying import PublishTimes
from rele.engine.publisher_options import PublisherOptions
from tests.support.publish_server import PublishServer


@pytest.fixture
def publisher(publish_server: PublishServer) -> Iterator[NativePublisher]:
    """One whose attempts have a second."""
    publisher = NativePublisher(
        Connection("project"), PublisherOptions(), times=PublishTimes(attempt=1.0)
    )
    yield publisher
    publisher.close(10)
    publisher.release()


def publish(publisher: NativePublisher, topic: str, *numbers: int, key: str = "") -> list[Any]:
    messages = [Message(topic, b"%d" % number, {}, key) for number in numbers]
    reports = [lambda future: None] * len(messages)
    return list(publisher.hand_over(messages, reports, timeout=1, at_once=True))


@pytest.mark.parametrize("key", ["", "customer-1"])
def test_after_an_attempt_without_an_answer_the_connection_is_replaced(
    publish_server: PublishServer, publisher: NativePublisher, key: str
) -> None:
    publish_server.hold(times=1)

    [future] = publish(publisher, "photos", 1, key=key)

    assert future.result(timeout=10)
    first, second = publish_server.requests.items
    assert first.call.is_cancelled.wait(5)
    assert (first.call.connection, second.call.connection) == (1, 2)
    assert 0.9 < second.at - first.at < 5


def test_a_replaced_connection_is_closed_when_its_last_request_has_ended(
    publish_server: PublishServer, publisher: NativePublisher
) -> None:
    publish_server.hold(times=1)
    [future] = publish(publisher, "photos", 1)
    assert future.result(timeout=10)

    deadline = time.monotonic() + 10
    while publish_server.open_connections != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # gRPC closes it in a thread of its own

    assert publish(publisher, "photos", 2)[0].result(timeout=5)
    assert publish_server.connections == 2


def test_all_topics_share_one_connection_which_other_errors_do_not_replace(
    publish_server: PublishServer, publisher: NativePublisher
) -> None:
    publish_server.refuse(StatusCode.UNAVAILABLE, times=3)

    futures = [future for n in range(20) for future in publish(publisher, f"topic-{n}", n)]

    assert all(future.result(timeout=20) for future in futures)
    assert publish_server.connections == 1
