"""A server with a data directory, and clients that see it fail and start again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from rele.emulator import DataDirError, EmbeddedServer, ask_status
from rele.emulator.storage import durable, restoring
from rele.emulator.storage.database import FILE_NAME, Database, open_database
from rele.emulator.storage.structure import Progress

from .conftest import SOON, BareStream

TOPIC = "projects/p/topics/orders"
PLAIN = "projects/p/subscriptions/plain"
EXACTLY_ONCE = "projects/p/subscriptions/exactly-once"

BIG = b"x" * 100_000


class Client:
    """The RPCs of a server that are used here, on the bare stubs."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )

    def call(self, method: str, request: Any) -> bytes:
        call = self.channel.unary_unary(f"/google.pubsub.v1.{method}")
        answer: bytes = call(type(request).serialize(request), timeout=SOON)
        return answer

    def create_all(self) -> None:
        self.call("Publisher/CreateTopic", types.Topic(name=TOPIC))
        for name in (PLAIN, EXACTLY_ONCE):
            exactly_once = name == EXACTLY_ONCE
            self.call(
                "Subscriber/CreateSubscription",
                types.Subscription(
                    name=name, topic=TOPIC, enable_exactly_once_delivery=exactly_once
                ),
            )

    def publish(self, *data: bytes) -> None:
        messages = [{"data": each} for each in data]
        self.call("Publisher/Publish", types.PublishRequest(topic=TOPIC, messages=messages))

    def pull(self, subscription: str = PLAIN) -> list[types.ReceivedMessage]:
        request = types.PullRequest(
            subscription=subscription, max_messages=100, return_immediately=True
        )
        answer = self.call("Subscriber/Pull", request)
        return list(types.PullResponse.deserialize(answer).received_messages)

    def acknowledge(self, ack_ids: list[str], subscription: str = PLAIN) -> None:
        self.call(
            "Subscriber/Acknowledge",
            types.AcknowledgeRequest(subscription=subscription, ack_ids=ack_ids),
        )


Running = list[tuple[EmbeddedServer, Client]]


@pytest.fixture
def running() -> Running:
    return []


@pytest.fixture
def stop(running: Running) -> Callable[[], None]:
    """Stop the server that runs."""

    def stop() -> None:
        while running:
            server, client = running.pop()
            client.channel.close()
            server.stop()

    return stop


@pytest.fixture
def serve(
    tmp_path: Path, running: Running, stop: Callable[[], None]
) -> Iterator[Callable[[], Client]]:
    """Start a server on the directory, after stopping the former one."""

    def serve() -> Client:
        stop()
        server = EmbeddedServer(data_dir=tmp_path)
        running.append((server, Client(server.start())))
        return running[-1][1]

    yield serve
    stop()


def data(received: list[types.ReceivedMessage]) -> list[bytes]:
    return [each.message.data for each in received]


def test_a_restart_brings_what_was_not_acknowledged(serve: Callable[[], Client]) -> None:
    client = serve()
    client.create_all()
    client.publish(b"1", b"2")
    client.acknowledge([client.pull()[0].ack_id])

    client = serve()
    assert data(client.pull()) == [b"2"]
    assert data(client.pull(EXACTLY_ONCE)) == [b"1", b"2"]


def test_a_confirmed_ack_counts_after_a_restart(serve: Callable[[], Client]) -> None:
    client = serve()
    client.create_all()
    client.publish(b"1")
    stream = BareStream(client.address, subscription=EXACTLY_ONCE, protocol_version=1)
    ack_id = stream.next().ack_id
    stream.send(ack_ids=[ack_id])
    assert stream.confirmation("acknowledge").ack_ids == [ack_id]
    stream.close()

    assert serve().pull(EXACTLY_ONCE) == []


def test_a_half_closed_stream_still_gets_its_confirmation(serve: Callable[[], Client]) -> None:
    client = serve()
    client.create_all()
    client.publish(b"1")
    stream = BareStream(client.address, subscription=EXACTLY_ONCE, protocol_version=1)
    ack_id = stream.next().ack_id
    stream.send(ack_ids=[ack_id])
    stream.half_close()

    status, _ = stream.status()
    stream.close()

    assert status is grpc.StatusCode.OK
    assert stream.confirmation("acknowledge").ack_ids == [ack_id]


def test_a_directory_in_use_is_refused(serve: Callable[[], Client], tmp_path: Path) -> None:
    serve()

    with pytest.raises(DataDirError, match="another server is using it"):
        EmbeddedServer(data_dir=tmp_path).start()


def test_a_damaged_message_is_counted_and_the_others_are_delivered(
    serve: Callable[[], Client],
    stop: Callable[[], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = serve()
    client.create_all()
    client.publish(b"first", b"second", b"third")
    stop()
    file = tmp_path / FILE_NAME
    content = file.read_bytes()
    assert content.count(b"second") == 1
    file.write_bytes(content.replace(b"second", b"secomd"))

    client = serve()
    assert data(client.pull()) == data(client.pull(EXACTLY_ONCE)) == [b"first", b"third"]
    assert ask_status(client.address)["damaged"] == 2
    assert f"of {PLAIN}, {EXACTLY_ONCE} is damaged or missing" in caplog.text


def test_a_damaged_structure_is_refused_with_the_remedy(
    serve: Callable[[], Client], stop: Callable[[], None], tmp_path: Path
) -> None:
    serve().create_all()
    stop()
    file = tmp_path / FILE_NAME
    content = bytearray(file.read_bytes())
    content[4096:4100] = bytes(4)
    file.write_bytes(content)

    remedy = "It was left as it is. Restore a copy of the directory, or choose another one"
    with pytest.raises(DataDirError, match=f"{tmp_path}: the data is damaged .*{remedy}"):
        EmbeddedServer(data_dir=tmp_path).start()


class TestFullDisk:
    @pytest.fixture(autouse=True)
    def databases(self, monkeypatch: pytest.MonkeyPatch) -> list[Database]:
        """The databases that were opened."""
        databases: list[Database] = []

        def opened(directory: Path, on_progress: Progress) -> Database:
            databases.append(open_database(directory, on_progress))
            return databases[-1]

        monkeypatch.setattr(restoring, "open_database", opened)
        # Tried again when the server stops.
        monkeypatch.setattr(durable, "RETRY_SECONDS", 3600.0)
        return databases

    @pytest.fixture
    def fill(
        self, serve: Callable[[], Client], databases: list[Database]
    ) -> Callable[[], tuple[Client, list[types.ReceivedMessage]]]:
        """Make a server with two messages out, whose disk is then full."""

        def fill() -> tuple[Client, list[types.ReceivedMessage]]:
            client = serve()
            client.create_all()
            client.publish(b"1", b"2")
            received = client.pull()
            databases[-1].writer.execute("PRAGMA max_page_count = 1")
            with pytest.raises(grpc.RpcError) as refused:
                client.publish(BIG)
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "cannot be written" in refused.value.details()
            return client, received

        return fill

    def test_nothing_is_answered_that_is_not_on_disk(
        self, fill: Callable[[], Any], serve: Callable[[], Client]
    ) -> None:
        client, received = fill()
        for refused in (
            lambda: client.publish(b"3"),
            lambda: client.acknowledge([received[0].ack_id]),
            lambda: client.call("Publisher/CreateTopic", types.Topic(name=f"{TOPIC}-2")),
            lambda: client.call(
                "Subscriber/DeleteSubscription", types.DeleteSubscriptionRequest(subscription=PLAIN)
            ),
        ):
            with pytest.raises(grpc.RpcError) as error:
                refused()
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

        assert data(serve().pull()) == [b"1", b"2"]

    def test_what_changes_nothing_is_answered(self, fill: Callable[[], Any]) -> None:
        client, received = fill()
        client.call("Publisher/GetTopic", types.GetTopicRequest(topic=TOPIC))
        client.call(
            "Subscriber/ModifyAckDeadline",
            types.ModifyAckDeadlineRequest(
                subscription=PLAIN, ack_ids=[received[0].ack_id], ack_deadline_seconds=0
            ),
        )
        assert b"1" in data(client.pull())

    def test_acks_that_are_confirmed_fail_for_a_time(
        self, fill: Callable[[], Any], serve: Callable[[], Client]
    ) -> None:
        client, _ = fill()
        stream = BareStream(client.address, subscription=EXACTLY_ONCE, protocol_version=1)
        ack_id = stream.next().ack_id
        stream.send(ack_ids=[ack_id])
        assert stream.confirmation("acknowledge").temporary_failed_ack_ids == [ack_id]
        stream.close()

        assert b"1" in data(serve().pull(EXACTLY_ONCE))

    def test_acks_that_are_not_confirmed_end_the_stream(self, fill: Callable[[], Any]) -> None:
        client, received = fill()
        stream = BareStream(client.address, subscription=PLAIN)
        stream.send(ack_ids=[received[0].ack_id])
        code, details = stream.status()
        stream.close()

        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "cannot be written" in details
