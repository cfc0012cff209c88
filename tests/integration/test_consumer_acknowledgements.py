"""What Relé's own consumer sends about messages, on a server that a test scripts."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import Any

import pytest
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from grpc import StatusCode

from rele.engine.native.consuming import consumer as driver
from rele.engine.native.consuming import lease_keeper
from tests.support.handled import Handled, consumed
from tests.support.inbox import Inbox
from tests.support.polling import wait_until
from tests.support.pull_server import PullServer, PullStream


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call without an answer fails after 0.3 s, not after 5 s."""
    monkeypatch.setattr(driver, "_CALL_TIMEOUT", 0.3)
    monkeypatch.setattr(lease_keeper, "_ASKED_AGAIN_AFTER", 0.3)


def stream_of(server: PullServer) -> PullStream:
    stream: PullStream = server.streams.wait_for(1)[0]
    return stream


def test_every_message_is_confirmed_and_acknowledged(pull_server: PullServer) -> None:
    with consumed("orders", Handled()):
        ids = stream_of(pull_server).deliver(*[b"x"] * 1500)
        pull_server.acked.wait_for(1500)

    assert sorted(pull_server.acked.items) == sorted(ids)
    assert max(len(each.ack_ids) for each in pull_server.requests.items) <= 1000


def test_an_acknowledgement_that_is_never_answered_stops_nothing(
    pull_server: PullServer, short_calls: None
) -> None:
    """Google's client stops after 100 messages, without a word."""
    handled = Handled()
    with consumed("orders", handled):
        stream = stream_of(pull_server)
        pull_server.hold(purpose="ack", times=1)
        (first,) = stream.deliver(b"0")
        handled.wait_for(1)
        for number in range(1, 300):
            stream.deliver(b"%d" % number)
        handled.wait_for(300)
        pull_server.acked.wait_until(lambda acked: first in acked)

    assert pull_server.requests_of(first).count(("ack", None)) >= 2


def test_acknowledgements_that_do_not_get_through_are_logged(
    pull_server: PullServer, short_calls: None, lines: Inbox
) -> None:
    pull_server.hold(purpose="ack")
    with consumed("orders", Handled()):
        stream = stream_of(pull_server)
        stream.deliver(b"0")
        (line,) = lines.wait_for(1)
        assert line.startswith("WARNING Acknowledgements and extensions of orders do not get")
        assert "DEADLINE_EXCEEDED" in line
        pull_server.accept_all()
        stream.deliver(b"1")
        pull_server.acked.wait_for(1)
        assert lines.wait_for(2)[1].startswith("INFO Acknowledgements and extensions of orders get")

    assert len(lines.items) == 2, "once, not at each attempt"


def test_slow_responses_are_no_limit_to_throughput(pull_server: PullServer) -> None:
    """At 500 ms of latency Google's client handled 91 messages a minute."""
    timers: list[threading.Timer] = []

    def later(request: Any) -> None:
        timers.append(threading.Timer(0.5, pull_server.accept, [request]))
        timers[-1].start()

    held = pull_server.hold()
    held.answer = lambda server, request: later(request)  # type: ignore[method-assign]
    handled = Handled()
    with consumed("orders", handled):
        stream = stream_of(pull_server)
        started = time.monotonic()
        for number in range(500):
            stream.deliver(b"%d" % number)
        pull_server.acked.wait_for(500)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("settle", "expected"),
    [
        (lambda message: message.nack(), ("nack", 0)),
        (lambda message: (message.modify_ack_deadline(60), message.drop()), ("modify", 60)),
    ],
    ids=["nack", "delay"],
)
def test_a_settlement_waits_for_the_extension_that_is_under_way(
    pull_server: PullServer, settle: Any, expected: tuple[str, int]
) -> None:
    """An extension that arrives late would undo it."""
    held = pull_server.hold(purpose="modify", times=1)
    handled = Handled(settle)
    with consumed("orders", handled):
        (ack_id,) = stream_of(pull_server).deliver(b"1")
        (extension,) = held.requests.wait_for(1)
        handled.wait_for(1)
        time.sleep(0.3)  # within which it would have been sent
        assert len(pull_server.requests_of(ack_id)) == 1

        held.release()
        pull_server.requests.wait_until(
            lambda items: sum(ack_id in each.ack_ids for each in items) == 2
        )
        assert pull_server.requests_of(ack_id) == [("modify", extension.seconds), expected]


def test_a_longer_lease_that_is_asked_for_settles_nothing(pull_server: PullServer) -> None:
    """A hook may lease a message for longer: it is acked all the same."""
    outcomes: list[Any] = []

    def handle(message: Any) -> None:
        for settle in (
            partial(message.modify_ack_deadline_with_response, 300),
            message.ack_with_response,
            partial(message.modify_ack_deadline_with_response, 300),
        ):
            response = settle()
            outcomes.append(response.exception(timeout=10) or response.result())

    handled = Handled(handle)
    with consumed("orders", handled):
        (ack_id,) = stream_of(pull_server).deliver(b"1")
        assert pull_server.acked.wait_for(1) == [ack_id]
        wait_until(lambda: len(outcomes) == 3, seconds=20)
        assert ("modify", 300) in pull_server.requests_of(ack_id)

    assert outcomes[:2] == [AcknowledgeStatus.SUCCESS] * 2
    assert isinstance(outcomes[2], AcknowledgeError), "it is settled already"


def test_an_ack_does_not_wait_for_an_extension(pull_server: PullServer) -> None:
    held = pull_server.hold(purpose="modify")
    with consumed("orders", Handled()):
        ids = stream_of(pull_server).deliver(b"1")
        assert pull_server.acked.wait_for(1) == ids
        held.release()


def test_a_delay_without_an_answer_is_sent_again(
    pull_server: PullServer, short_calls: None
) -> None:
    pull_server.hold(seconds=60, times=1)
    handled = Handled(lambda message: (message.modify_ack_deadline(60), message.drop()))
    with consumed("orders", handled):
        (ack_id,) = stream_of(pull_server).deliver(b"1")
        pull_server.requests.wait_until(
            lambda items: [each.seconds for each in items if ack_id in each.ack_ids].count(60) == 2
        )
        time.sleep(0.5)
        assert pull_server.requests_of(ack_id)[1:] == [("modify", 60)] * 2


def test_with_exactly_once_delivery_nothing_is_begun_whose_lease_is_refused(
    pull_server: PullServer, lines: Inbox
) -> None:
    """As after a Seek."""
    pull_server.refuse_ids("PERMANENT_FAILURE_INVALID_ACK_ID", purpose="modify", times=1)
    handled = Handled()
    with consumed("orders", handled, is_exactly_once=True):
        stream_of(pull_server).deliver(*[b"x"] * 30)
        pull_server.requests.wait_for(1)
        (good,) = stream_of(pull_server).deliver(b"good")
        assert pull_server.acked.wait_for(1) == [good]

    assert handled.data == [b"good"]
    assert lines.items == []


def test_what_waits_and_is_known_to_be_lost_is_not_begun(
    pull_server: PullServer, lines: Inbox
) -> None:
    """As after a Seek, which ends the leases of what waits for a thread."""
    may_end = threading.Event()
    handled = Handled(lambda message: (may_end.wait(20), message.ack()))
    with consumed("orders", handled, threads=1, ack_deadline=10):
        pull_server.refuse(StatusCode.INVALID_ARGUMENT, "Invalid ack id.", purpose="modify")
        ids = stream_of(pull_server).deliver(b"0", *[b"x"] * 30)
        pull_server.requests.wait_until(
            lambda items: {ack_id for each in items for ack_id in each.ack_ids} >= set(ids)
        )
        handled.wait_for(1)
        (line,) = lines.wait_for(1)
        may_end.set()
        pull_server.acked.wait_for(1)

    assert handled.data == [b"0"]
    assert line.startswith("WARNING 1 message(s) of orders may be handled again: their leases were")
    assert len(lines.items) == 1, "not one a message"


def test_an_invalid_argument_is_not_retried_for_ever(
    pull_server: PullServer, caplog: pytest.LogCaptureFixture
) -> None:
    pull_server.refuse(StatusCode.INVALID_ARGUMENT, "Some ack ids are invalid.", purpose="ack")
    handled = Handled()
    with consumed("orders", handled), caplog.at_level(logging.ERROR, "rele"):
        (ack_id,) = stream_of(pull_server).deliver(b"0")
        pull_server.requests.wait_until(lambda items: any(each.purpose == "ack" for each in items))
        time.sleep(1)

    assert pull_server.requests_of(ack_id).count(("ack", None)) <= 2
    assert caplog.records == []
