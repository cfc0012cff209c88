"""``rele-cli emulator --data-dir``, killed at random points in the middle of work.

The test keeps a ledger of what was answered: publishes, and acks that were confirmed.
"""

from __future__ import annotations

import queue
import random
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from tests.support.ledger import Expected, check_handled
from tests.support.server_process import Server, unary
from tests.support.streams import SOON

TOPIC = "projects/p/topics/orders"
EXACTLY_ONCE = "projects/p/subscriptions/exactly-once"
UNTOUCHED = "projects/p/subscriptions/untouched"

_READ_AT_ONCE = 1000


class Publisher(threading.Thread):
    """Publishes numbers, one after the other in batches, and notes which were answered."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self.ids: list[int] = []
        self.answered: set[bytes] = set()
        self.stopping = False
        self._more = threading.Condition()

    def wait_for_more(self, number: int) -> None:
        with self._more:
            goal = len(self.answered) + number
            assert self._more.wait_for(lambda: len(self.answered) >= goal, 3 * SOON)

    def run(self) -> None:
        number = 0
        while not self.stopping:
            with self._server.channel() as channel:
                publish = unary(channel, "Publisher/Publish")
                try:
                    while not self.stopping:
                        data = [b"%d" % each for each in range(number, number + 20)]
                        number += len(data)
                        self._publish(publish, data)
                except grpc.RpcError:
                    continue  # Nobody knows whether it was published.

    def _publish(self, publish: Callable[[Any], bytes], data: list[bytes]) -> None:
        messages = [{"data": each, "attributes": {"pad": "x" * 100}} for each in data]
        answer = publish(types.PublishRequest(topic=TOPIC, messages=messages))
        self.ids += map(int, types.PublishResponse.deserialize(answer).message_ids)
        with self._more:
            self.answered.update(data)
            self._more.notify_all()


class Consumer(threading.Thread):
    """Acknowledges most of what comes on a stream, and notes what was confirmed."""

    def __init__(self, server: Server, seed: int) -> None:
        super().__init__()
        self._server = server
        self._random = random.Random(seed)
        self.confirmed: set[bytes] = set()
        self.came_again: set[bytes] = set()
        self.acknowledged: set[bytes] = set()
        self.stopping = threading.Event()
        self._call: Any = None

    def run(self) -> None:
        while not self.stopping.is_set():
            with self._server.channel() as channel:
                try:
                    self._consume(channel)
                except grpc.RpcError:
                    continue

    def stop(self) -> None:
        self.stopping.set()
        self._call.cancel()
        self.join(SOON)

    def _consume(self, channel: grpc.Channel) -> None:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        requests.put(
            types.StreamingPullRequest(
                subscription=EXACTLY_ONCE,
                stream_ack_deadline_seconds=60,
                max_outstanding_messages=500,
                protocol_version=1,
            )
        )
        method = channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=types.StreamingPullRequest.serialize,
            response_deserializer=types.StreamingPullResponse.deserialize,
        )
        names: dict[str, bytes] = {}
        self._call = method(iter(requests.get, None))
        try:
            for response in self._call:
                confirmation = response.acknowledge_confirmation
                self.confirmed.update(names[each] for each in confirmation.ack_ids)
                acks, refused = self._receive(response, names)
                if acks or refused:
                    requests.put(
                        types.StreamingPullRequest(
                            ack_ids=acks,
                            modify_deadline_ack_ids=refused,
                            modify_deadline_seconds=[0] * len(refused),
                        )
                    )
        finally:
            requests.put(None)

    def _receive(self, response: Any, names: dict[str, bytes]) -> tuple[list[str], list[str]]:
        acks, refused = [], []
        for received in response.received_messages:
            data = received.message.data
            names[received.ack_id] = data
            if data in self.confirmed:
                self.came_again.add(data)
            if self._random.random() < 0.1:
                refused.append(received.ack_id)
            else:
                self.acknowledged.add(data)
                acks.append(received.ack_id)
        return acks, refused


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data")
    server.start()
    server.call("Publisher/CreateTopic", types.Topic(name=TOPIC))
    for name in (EXACTLY_ONCE, UNTOUCHED):
        server.call(
            "Subscriber/CreateSubscription",
            types.Subscription(
                name=name, topic=TOPIC, enable_exactly_once_delivery=name == EXACTLY_ONCE
            ),
        )
    yield server
    server.kill()


def publish_one(server: Server) -> None:
    server.call("Publisher/Publish", types.PublishRequest(topic=TOPIC, messages=[{"data": b"1"}]))


def drain(server: Server, subscription: str) -> list[bytes]:
    """Acknowledge all that is there, and return it."""
    found: list[bytes] = []
    with server.channel() as channel:
        pull, acknowledge = (
            unary(channel, "Subscriber/Pull"),
            unary(channel, "Subscriber/Acknowledge"),
        )
        while True:
            request = types.PullRequest(
                subscription=subscription, max_messages=_READ_AT_ONCE, return_immediately=True
            )
            received = types.PullResponse.deserialize(pull(request)).received_messages
            if not received:
                return found
            found += [each.message.data for each in received]
            ack_ids = [each.ack_id for each in received]
            acknowledge(types.AcknowledgeRequest(subscription=subscription, ack_ids=ack_ids))


def lost(
    publisher: Publisher, *, waiting: Iterable[bytes], acknowledged: Iterable[bytes] = ()
) -> list[str]:
    """What was answered, and neither waits nor was acknowledged.

    What was not answered may have been accepted, too: nothing is known of it.
    """
    numbers = [
        [int(data) for data in publisher.answered.intersection(each)]
        for each in (acknowledged, waiting)
    ]
    expected = Expected(waiting=numbers[1])
    return check_handled(numbers[0], map(int, publisher.answered), expected)


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_kill_9_loses_nothing_that_was_answered(server: Server, rounds: int) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # shown if the test fails
    chance = random.Random(seed)
    publisher, consumer = Publisher(server), Consumer(server, seed)
    publisher.start()
    consumer.start()
    for _ in range(rounds):
        publisher.wait_for_more(chance.randrange(20, 2000))
        server.kill()
        server.start()
    publisher.wait_for_more(20)
    publisher.stopping = True
    publisher.join(SOON)
    consumer.stop()
    server.kill()
    server.start()

    left = drain(server, EXACTLY_ONCE)
    assert consumer.confirmed
    assert not consumer.came_again
    assert not consumer.confirmed.intersection(left)
    # An ack may have been taken although its confirmation never came.
    assert lost(publisher, acknowledged=consumer.acknowledged, waiting=left) == []
    assert lost(publisher, waiting=drain(server, UNTOUCHED)) == []
    assert publisher.ids == sorted(set(publisher.ids))
    assert server.terminate() == 0
    server.start()
    assert drain(server, UNTOUCHED) == []


def test_sigterm_keeps_what_was_answered(server: Server) -> None:
    publisher = Publisher(server)
    publisher.start()
    publisher.wait_for_more(500)
    assert server.terminate() == 0
    server.start()
    publisher.wait_for_more(20)
    publisher.stopping = True
    publisher.join(SOON)

    assert lost(publisher, waiting=drain(server, UNTOUCHED)) == []


def test_a_second_server_on_the_directory_refuses(server: Server) -> None:
    done = subprocess.run(
        server.command("127.0.0.1:0"),
        capture_output=True,
        text=True,
        timeout=3 * SOON,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "another server is using it" in done.stderr
    publish_one(server)


def test_a_killed_server_whose_log_is_gone_does_not_start_without_it(server: Server) -> None:
    publish_one(server)
    assert server.data_dir is not None
    log = server.data_dir / "pubsub.sqlite3-wal"
    server.kill()
    content = log.read_bytes()
    log.unlink()

    done = subprocess.run(
        server.command("127.0.0.1:0"), capture_output=True, text=True, timeout=3 * SOON
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "pubsub.sqlite3-wal is missing or empty" in done.stderr
    log.write_bytes(content)
    server.start()
    assert drain(server, UNTOUCHED) == [b"1"]


def test_what_the_disk_does_not_take_is_not_answered(server: Server) -> None:
    """The system lets the process write no file beyond its present size; then it does again."""
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("Only Linux limits another process.")
    publish_one(server)
    limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    with pytest.raises(grpc.RpcError) as refused:
        publish_one(server)
    assert refused.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )
    assert "cannot be written" in refused.value.details()

    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
    said = server.read_until("can be written again")
    assert said.count("cannot be written") == 1
    publish_one(server)
    server.kill()
    server.start()
    # The refused one is there, too: it had been taken up before the disk refused it.
    assert len(drain(server, UNTOUCHED)) == 3
