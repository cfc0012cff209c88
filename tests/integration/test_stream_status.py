"""What a consumer's status says of its streams, its server and its event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from grpc import StatusCode

from rele.engine.native.consuming import inquiry, pulse
from rele.engine.native.consuming.consumer import NativeConsumer
from rele.engine.times import Times
from rele.status.snapshot import SubscriptionStatus
from tests.support.handled import Handled, consumed
from tests.support.polling import wait_until
from tests.support.pull_server import PullServer

FAST = Times(first_pause=0.01, longest_random_pause=0.02)


def wait_for(
    consumer: NativeConsumer, is_true: Callable[[SubscriptionStatus], bool]
) -> SubscriptionStatus:
    wait_until(lambda: is_true(consumer.status()), 20, consumer.status, every=0.01)
    return consumer.status()


def test_a_stream_counts_as_open_although_nothing_was_received_on_it(
    pull_server: PullServer,
) -> None:
    with consumed("orders", Handled()) as consumer:
        status = wait_for(consumer, lambda status: status.streams == 1)

    assert (status.name, status.threads, status.refused_for) == ("orders", 2, None)
    assert status.is_engine_running


def test_while_no_stream_is_accepted_the_server_is_asked_whether_it_answers(
    pull_server: PullServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "ASKED_AFTER", 0.05)
    pull_server.on_open = lambda stream: stream.end(StatusCode.UNAVAILABLE, "not now")
    with consumed("orders", Handled(), times=FAST) as consumer:
        pull_server.requests.wait_for(1)
        status = wait_for(consumer, lambda status: status.server_silent_for is not None)
        assert pull_server.requests.items[0].ack_ids == []
        assert status.streams == 0
        assert status.refused_for is not None
        assert "not now" in status.refusal
        assert not status.is_refusal_final

        pull_server.on_open = lambda stream: [stream.call.accept(), stream.deliver(b"1")]
        status = wait_for(consumer, lambda status: status.streams == 1)
        assert (status.refused_for, status.refusal) == (None, "")


def test_a_server_that_answers_nothing_is_known_to_be_silent(
    pull_server: PullServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "ASKED_AFTER", 0.05)
    pull_server.refuse(StatusCode.UNAVAILABLE, "nor this")
    pull_server.on_open = lambda stream: stream.end(StatusCode.UNAVAILABLE, "not now")
    with consumed("orders", Handled(), times=FAST) as consumer:
        pull_server.requests.wait_for(2)

        assert consumer.status().server_silent_for is None


def test_that_a_person_has_to_do_something_is_known(pull_server: PullServer) -> None:
    pull_server.on_open = lambda stream: stream.end(StatusCode.PERMISSION_DENIED, "not yours")
    with consumed("orders", Handled(), times=FAST) as consumer:
        status = wait_for(consumer, lambda status: status.refused_for is not None)

    assert status.is_refusal_final
    assert "not yours" in status.refusal


def test_an_event_loop_that_does_not_run_is_known(
    pull_server: PullServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "LATE", 0.1)
    goes_on = threading.Event()
    with consumed("orders", Handled()) as consumer:
        pull_server.streams.wait_for(1)
        consumer._loop.call(goes_on.wait, 20)

        wait_for(consumer, lambda status: not status.is_engine_running)

        goes_on.set()
        wait_for(consumer, lambda status: status.is_engine_running)
