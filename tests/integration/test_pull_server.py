"""The server that the tests of consuming script, against Google's generated stubs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types
from grpc import StatusCode

from tests.support.pull_server import PullServer
from tests.support.streams import BareStream

SUBSCRIPTION = "projects/p/subscriptions/orders"


@pytest.fixture
def stream(pull_server: PullServer) -> Iterator[BareStream]:
    stream = BareStream(pull_server.address, subscription=SUBSCRIPTION, max_outstanding_messages=7)
    yield stream
    stream.close()


def call(server: PullServer, method: str, timeout: float = 10, **fields: Any) -> None:
    kind: Any = getattr(types, f"{method}Request")
    with grpc.insecure_channel(server.address) as channel:
        stub = channel.unary_unary(f"/google.pubsub.v1.Subscriber/{method}")
        stub(kind.serialize(kind(subscription=SUBSCRIPTION, **fields)), timeout=timeout)


def test_a_stream_is_accepted_and_gets_what_is_delivered(
    pull_server: PullServer, stream: BareStream
) -> None:
    (opened,) = pull_server.streams.wait_for(1)
    assert (opened.subscription, opened.limit) == ("orders", 7)
    stream.opened()

    ids = opened.deliver(b"1", {"data": b"2", "key": "k", "attempt": 3})

    received = [stream.next(), stream.next()]
    assert [each.ack_id for each in received] == ids
    assert [each.message.data for each in received] == [b"1", b"2"]
    assert (received[1].message.ordering_key, received[1].delivery_attempt) == ("k", 3)


def test_a_keepalive_is_answered_by_an_empty_response(
    pull_server: PullServer, stream: BareStream
) -> None:
    (opened,) = pull_server.streams.wait_for(1)
    stream.send()

    assert not stream.notices.get(timeout=10).received_messages
    assert len(opened.pings.items) == 1


def test_a_stream_is_ended_with_any_code(pull_server: PullServer, stream: BareStream) -> None:
    (opened,) = pull_server.streams.wait_for(1)
    opened.deliver(b"1")
    opened.end(StatusCode.UNAVAILABLE, "not now")
    assert stream.next().message.data == b"1"
    assert stream.status() == (StatusCode.UNAVAILABLE, "not now")


def test_acknowledgements_are_recorded_and_answered(pull_server: PullServer) -> None:
    call(pull_server, "ModifyAckDeadline", ack_ids=["a", "b"], ack_deadline_seconds=10)
    call(pull_server, "Acknowledge", ack_ids=["a"])
    call(pull_server, "ModifyAckDeadline", ack_ids=["b"], ack_deadline_seconds=0)

    assert pull_server.requests_of("a") == [("modify", 10), ("ack", None)]
    assert pull_server.requests_of("b") == [("modify", 10), ("nack", 0)]
    assert pull_server.acked.items == ["a"]


def test_acknowledgements_are_refused_and_held_as_the_test_says(pull_server: PullServer) -> None:
    pull_server.refuse(StatusCode.UNAVAILABLE, times=1, purpose="ack")
    with pytest.raises(grpc.RpcError) as refused:
        call(pull_server, "Acknowledge", ack_ids=["a"])
    assert refused.value.code() is StatusCode.UNAVAILABLE

    pull_server.refuse_ids("PERMANENT_FAILURE_INVALID_ACK_ID", times=1)
    with pytest.raises(grpc.RpcError) as refused:
        call(pull_server, "Acknowledge", ack_ids=["a"])
    assert dict(refused.value.trailing_metadata())["grpc-status-details-bin"]

    held = pull_server.hold(purpose="ack")
    thread = threading.Thread(
        target=call, args=(pull_server, "Acknowledge"), kwargs={"ack_ids": ["a"]}
    )
    thread.start()
    held.requests.wait_for(1)
    assert pull_server.acked.items == []
    held.release()
    thread.join(10)
    assert pull_server.acked.items == ["a"]
