"""The private names of gRPC that rele.engine.native.grpc_threads relies on."""

from __future__ import annotations

import gc
import threading

import grpc
import pytest

from rele.engine.native.channels import Channel
from rele.engine.native.grpc_threads import can_start_threads, waited_for
from tests.support.polling import wait_until
from tests.support.publish_server import PublishServer

START = "grpc._channel._run_channel_spin_thread"
"""Starts gRPC's thread of a channel."""


def start_no_thread(state: object) -> None:
    raise RuntimeError("can't start new thread")


def test_a_channel_whose_thread_could_not_be_started_is_let_be(
    publish_server: PublishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel(grpc.insecure_channel(publish_server.address))
    channel.publish.future(b"", timeout=10).result()
    with monkeypatch.context() as patched:
        patched.setattr(START, start_no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            _call_again_and_again(channel)

    channel.abandon()
    channel.close()
    del channel
    gc.collect()  # its finaliser would wait for ever

    again = Channel(grpc.insecure_channel(publish_server.address))
    assert again.publish.future(b"", timeout=10).result() is not None
    again.close()


def test_a_call_that_grpc_has_begun_without_its_thread_is_finished_here(
    publish_server: PublishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Channel(grpc.insecure_channel(publish_server.address))
    with monkeypatch.context() as patched:
        patched.setattr(START, start_no_thread)
        with pytest.raises(RuntimeError, match="new thread") as raised:
            channel.publish.future(b"", timeout=10)

    result = channel.finish_call(raised.value)

    assert result is not None
    assert result() is not None
    assert channel.publish.future(b"", timeout=10).result() is not None
    assert len(publish_server.requests.items) == 2
    channel.close()


def test_a_call_that_fails_without_its_thread_raises_its_error(
    publish_server: PublishServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_server.refuse(grpc.StatusCode.NOT_FOUND, "not here")
    channel = Channel(grpc.insecure_channel(publish_server.address))
    with monkeypatch.context() as patched:
        patched.setattr(START, start_no_thread)
        with pytest.raises(RuntimeError, match="new thread") as raised:
            channel.publish.future(b"", timeout=10)

    result = channel.finish_call(raised.value)

    assert result is not None
    with pytest.raises(grpc.RpcError, match="not here"):
        result()
    channel.close()


def _call_again_and_again(channel: Channel) -> None:
    """Until gRPC needs a new thread: that of the call before may not have ended yet."""
    for _ in range(1000):
        channel.publish.future(b"", timeout=10).result()


def test_whether_threads_can_be_started_is_tried() -> None:
    before = threading.active_count()

    assert can_start_threads(8)

    assert threading.active_count() == before


def test_the_calls_are_counted_for_which_a_thread_waits(publish_server: PublishServer) -> None:
    held = publish_server.hold(times=1)
    with grpc.insecure_channel(publish_server.address) as channel:
        call = channel.unary_unary("/google.pubsub.v1.Publisher/Publish").future(b"", timeout=20)

        assert waited_for(channel, otherwise=7) == 1

        held.requests.wait_for(1)
        held.release()
        call.result()
        wait_until(lambda: waited_for(channel, otherwise=7) == 0, 10)
