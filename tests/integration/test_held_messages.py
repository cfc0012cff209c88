"""What the client holds when a stream ends is redelivered after the retry policy's backoff.

Left alone it would be when its ack deadline has passed: 10 s after the client has received it.
Google's emulator lets it wait for that in any case: it hands what was refused to the very stream
that ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.types import FlowControl, PublisherOptions
from google.protobuf.duration_pb2 import Duration

from rele.engine.google.pull_manager import nack_held
from rele.engine.google.scheduler import DrainingScheduler
from tests.support.inbox import Inbox
from tests.support.virtual_time import VirtualTime
from tests.unit.engine.conftest import Handler, handler

__all__ = ["handler"]

SOON = 6
"""Seconds: well below the deadline that the client gives a message."""

Subscribe = Callable[[str], tuple[str, list[bytes]]]


@pytest.fixture
def client(
    embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pubsub_v1.SubscriberClient]:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    with pubsub_v1.SubscriberClient() as client:
        yield client


@pytest.fixture
def publish(client: pubsub_v1.SubscriberClient, project_id: str) -> Subscribe:
    """Publish five messages of one ordering key; give their subscription and their payloads."""

    def publish(ordering_key: str) -> tuple[str, list[bytes]]:
        topic = f"projects/{project_id}/topics/held"
        path = f"projects/{project_id}/subscriptions/held"
        data = [b"%d" % number for number in range(5)]
        options = PublisherOptions(enable_message_ordering=True)
        with pubsub_v1.PublisherClient(publisher_options=options) as publisher:
            publisher.create_topic(request={"name": topic})
            client.create_subscription(
                request={
                    "name": path,
                    "topic": topic,
                    "enable_message_ordering": bool(ordering_key),
                    "retry_policy": {
                        "minimum_backoff": Duration(seconds=1),
                        "maximum_backoff": Duration(seconds=1),
                    },
                }
            )
            futures = [publisher.publish(topic, each, ordering_key=ordering_key) for each in data]
            for future in futures:
                future.result(10)
        return path, data

    return publish


def pull_until(client: pubsub_v1.SubscriberClient, path: str, wanted: set[bytes]) -> float:
    """Pull until all of ``wanted`` has come, and return how many seconds that took."""
    began = time.monotonic()
    missing = set(wanted)
    while missing:
        answer = client.pull(request={"subscription": path, "max_messages": 10}, timeout=20)
        missing -= {each.message.data for each in answer.received_messages}
        ack_ids = [each.ack_id for each in answer.received_messages]
        if ack_ids:
            client.acknowledge(request={"subscription": path, "ack_ids": ack_ids})
    return time.monotonic() - began


@pytest.mark.parametrize("ordering_key", ["", "key"])
def test_what_the_client_holds_is_redelivered_soon(
    client: pubsub_v1.SubscriberClient,
    publish: Subscribe,
    handler: Handler,
    ordering_key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="rele")
    path, data = publish(ordering_key)
    with ThreadPoolExecutor(1) as executor:
        scheduler = DrainingScheduler(executor, 1, VirtualTime())
        future: Any = client.subscribe(
            path,
            callback=handler,
            flow_control=FlowControl(max_messages=1),
            scheduler=scheduler,
            use_legacy_flow_control=True,  # or the server would not send more than one
        )
        scheduler.nack_held = partial(nack_held, future)
        [begun] = handler.begun.wait_for(1)

        future.cancel()
        ended = Inbox()
        future.add_done_callback(ended.put)
        if ordering_key:  # the others may not come before that one is done
            handler.let_end()
        assert pull_until(client, path, set(data) - {begun.data}) < SOON

        handler.let_end()
        ended.wait_for(1)
    assert handler.begun.items == [begun]
    assert "4 message(s) that were not begun are nacked" in caplog.text
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
