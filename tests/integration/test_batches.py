"""The private names of Google's publisher client that rele.engine.google.batches relies on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from google.cloud import pubsub_v1

from rele.engine.google.batches import (
    commit_in_this_thread,
    commit_open_batches,
    stop_using_threads,
)

NEVER = float("inf")


@pytest.fixture
def client(embedded_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A client that sends nothing by itself before a batch is full."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    with pubsub_v1.PublisherClient(
        batch_settings=pubsub_v1.types.BatchSettings(max_latency=NEVER)
    ) as client:
        yield client


@pytest.fixture
def topic(client, project_id: str) -> str:
    path = f"projects/{project_id}/topics/batches"
    client.create_topic(request={"name": path})
    return path


def test_open_batches_are_committed_without_their_timer(client, topic: str) -> None:
    future = client.publish(topic, b"1")

    commit_open_batches(client)

    assert future.result(timeout=10)


def test_committing_in_this_thread_starts_no_other(client, topic: str) -> None:
    client.publish(topic, b"0")
    commit_in_this_thread(client, timeout=10)  # gRPC's own threads have begun now
    future = client.publish(topic, b"1")
    stop_using_threads(client)
    before = set(threading.enumerate())

    commit_in_this_thread(client, timeout=10)
    full_batch = client.publish(topic, b"x" * 2_000_000)
    commit_in_this_thread(client, timeout=10)

    assert future.done()
    assert full_batch.done()
    assert set(threading.enumerate()) <= before


def test_the_timer_of_the_client_cannot_lose_a_batch(
    topic: str, embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pubsub_v1.PublisherClient() as client:
        client.publish(topic, b"1").result(timeout=10)
        stop_using_threads(client)
        future = client.publish(topic, b"x" * 2_000_000)
        client._wait_and_commit_sequencers()  # as the timer's thread, at the worst of times

        commit_in_this_thread(client, timeout=10)

        assert future.done()


def test_the_timeout_holds_while_the_server_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    with pubsub_v1.PublisherClient(
        batch_settings=pubsub_v1.types.BatchSettings(max_latency=NEVER)
    ) as client:
        futures = [client.publish(f"projects/p/topics/{name}", b"1") for name in "abc"]

        commit_in_this_thread(client, timeout=0.5)

        assert all(future.exception(timeout=0) is not None for future in futures)


def test_ordered_batches_are_sent_one_after_the_other(topic: str, project_id: str) -> None:
    with pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True),
        batch_settings=pubsub_v1.types.BatchSettings(max_latency=NEVER, max_messages=2),
    ) as client:
        futures = [client.publish(topic, b"%d" % n, ordering_key="key") for n in range(7)]
        stop_using_threads(client)

        commit_in_this_thread(client, timeout=10)

        ids = [int(future.result(timeout=0)) for future in futures]
    assert ids == sorted(ids)
