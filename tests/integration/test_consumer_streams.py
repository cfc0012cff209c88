"""The streams of Relé's own consumer, on a server that a test scripts."""

from __future__ import annotations

import threading
import time

import pytest
from grpc import StatusCode

from rele.engine.connection import Connection
from rele.engine.native.consuming import pull_streams
from rele.engine.native.consuming.consumer_options import ConsumerOptions
from rele.engine.native.consuming.pull_engine import PullEngine
from rele.engine.times import Times
from rele.exceptions import ThreadStartError
from tests.support.handled import PROJECT, Handled, consumed, end
from tests.support.inbox import Inbox
from tests.support.pull_server import PullServer, PullStream


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Times:
    """Seconds become hundredths, so that a test need not wait for a minute."""
    for name in ("PING_EVERY", "PONG_WITHIN", "SILENT_FOR"):
        monkeypatch.setattr(pull_streams, name, getattr(pull_streams, name) / 100)
    return Times(first_pause=0.01, longest_random_pause=0.1)


def test_the_first_request_says_all(pull_server: PullServer) -> None:
    with consumed("orders", Handled(), ack_deadline=30):
        (stream,) = pull_server.streams.wait_for(1)

    assert stream.first.subscription == "projects/rele/subscriptions/orders"
    assert stream.first.protocol_version == 1
    assert stream.first.client_id
    assert 10 <= stream.first.stream_ack_deadline_seconds <= 30
    assert 0 < stream.limit <= 1000
    assert stream.first.max_outstanding_bytes == 100 * 2**20


def test_acknowledgements_have_a_connection_without_streams(pull_server: PullServer) -> None:
    with consumed("orders", Handled()):
        (stream,) = pull_server.streams.wait_for(1)
        stream.deliver(b"1")
        pull_server.acked.wait_for(1)

    assert {each.call.connection for each in pull_server.requests.items} == {
        3 - stream.call.connection
    }


def test_a_stream_that_pubsub_ends_now_and_then_is_reopened_without_a_word(
    pull_server: PullServer, lines: Inbox, fast: Times
) -> None:
    handled = Handled()
    with consumed("orders", handled, times=fast):
        for number in range(1, 6):
            stream = pull_server.streams.wait_for(number)[-1]
            stream.deliver(b"%d" % number)
            handled.wait_for(number)
            stream.end(StatusCode.UNAVAILABLE, "The service was unable to fulfill your request.")
        pull_server.streams.wait_for(6)

    assert lines.items == []


def test_a_server_that_stops_answering_keepalives_gets_a_new_stream(
    pull_server: PullServer, fast: Times
) -> None:
    handled = Handled()
    with consumed("orders", handled, times=fast):
        (first,) = pull_server.streams.wait_for(1)
        first.pings.wait_for(2)
        pull_server.answers_pings = False

        second = pull_server.streams.wait_for(2)[1]
        second.deliver(b"1")
        assert handled.wait_for(1) == [b"1"]
        assert first.is_half_closed.wait(10)


def test_a_stream_that_is_accepted_and_never_answers_is_replaced(
    pull_server: PullServer, fast: Times
) -> None:
    pull_server.answers_pings = False
    handled = Handled()
    with consumed("orders", handled, times=fast):
        first, second = pull_server.streams.wait_for(2)[:2]
        assert second.call.at - first.call.at >= pull_streams.SILENT_FOR * 0.9
        second.deliver(b"1")
        assert handled.wait_for(1) == [b"1"]


def test_what_the_old_stream_still_delivers_is_handled(
    pull_server: PullServer, fast: Times
) -> None:
    pull_server.answers_pings = pull_server.ends_half_closed = False
    handled = Handled()
    with consumed("orders", handled, times=fast):
        first: PullStream = pull_server.streams.wait_for(2)[0]
        assert first.is_half_closed.wait(10)
        (ack_id,) = first.deliver(b"1")
        first.end(StatusCode.OK)

        assert handled.wait_for(1) == [b"1"]
        assert pull_server.acked.wait_for(1) == [ack_id]


def test_a_refused_stream_is_opened_again_with_growing_pauses(pull_server: PullServer) -> None:
    pull_server.on_open = lambda stream: stream.end(StatusCode.UNAVAILABLE)
    started = time.monotonic()
    with consumed("orders", Handled()):
        pull_server.streams.wait_for(2)
        assert time.monotonic() - started < 1.5, "the first retry follows within a second"
        time.sleep(1)
        assert len(pull_server.streams.items) < 20


def test_a_new_connection_is_made_for_one_that_is_reset(
    pull_server: PullServer, fast: Times
) -> None:
    handled = Handled()
    with consumed("orders", handled, times=fast):
        (first,) = pull_server.streams.wait_for(1)
        first.call.close_connection()
        second = pull_server.streams.wait_for(2)[1]
        second.deliver(b"1")

        assert handled.wait_for(1) == [b"1"]
        assert second.call.connection != first.call.connection


def test_a_consumer_that_cannot_have_its_thread_can_be_ended(
    pull_server: PullServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker does that cannot start."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = PullEngine(Connection(PROJECT))
    consumer = engine.consumer("orders", Handled(), ConsumerOptions(2), lambda: True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(ThreadStartError):
            consumer.open()

    assert end(consumer) == 0
    engine.close()
