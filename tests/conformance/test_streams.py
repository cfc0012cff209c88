"""StreamingPull and Pull."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc
import pytest
from google.pubsub_v1 import types

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]


@pytest.fixture
def sub(make_subscription: MakeSubscription) -> str:
    return make_subscription()


def numbered(number: int, size: int = 0) -> list[bytes]:
    return [(b"%d" % each).ljust(size) for each in range(number)]


class TestFlowControl:
    @pytest.mark.google_differs("max_outstanding_messages is ignored")
    def test_no_more_messages_than_asked_for(self, service: Service, topic: str, sub: str) -> None:
        service.publish(topic, *numbered(50))
        stream = service.stream(sub, max_outstanding_messages=5)
        first = stream.received(timeout=0.5)
        assert len(first) == 5

        stream.send(ack_ids=[each.ack_id for each in first[:2]])
        stream.send(modify_deadline_ack_ids=[first[2].ack_id], modify_deadline_seconds=[0])
        assert len(stream.received(timeout=0.5)) == 3

    @pytest.mark.google_differs("max_outstanding_bytes is ignored")
    def test_no_more_bytes_than_asked_for(self, service: Service, topic: str, sub: str) -> None:
        service.publish(topic, *numbered(50, size=1000))
        stream = service.stream(sub, max_outstanding_bytes=3500)

        assert len(stream.received(timeout=0.5)) == 3

    def test_a_larger_message_comes_alone(self, service: Service, topic: str, sub: str) -> None:
        service.publish(topic, b"x" * 10_000)

        assert len(service.stream(sub, max_outstanding_bytes=3500).next().message.data) == 10_000

    def test_without_limits_all_come(self, service: Service, topic: str, sub: str) -> None:
        for _ in range(3):
            service.publish(topic, *numbered(1000))
        stream = service.stream(sub)

        assert len(stream.next_data(3000)) == 3000


class TestEnds:
    @pytest.mark.google_differs(
        "what comes while a stream ends waits for its deadline", strict=False
    )
    def test_a_message_that_comes_after_a_stream_goes_to_the_next(
        self, service: Service, topic: str, sub: str
    ) -> None:
        for number in range(8):
            stream = service.stream(sub)
            service.publish(topic, b"before")
            stream.send(ack_ids=[stream.next(timeout=2).ack_id])
            if number % 2:
                stream.cancel()
                assert stream.status()[0].name == "CANCELLED"
            else:
                stream.half_close()
                assert stream.status()[0].name == "OK"
            service.publish(topic, b"%d" % number)
            assert data_of(service.pull(sub, within=2)) == [b"%d" % number]
            # What was not acknowledged in time would come now.
            if again := service.pull_now(sub):
                service.ack(sub, *again)

    def test_a_deleted_subscription_ends_its_streams(self, service: Service, sub: str) -> None:
        stream = service.stream(sub)
        service.call("DeleteSubscription", subscription=sub)

        assert stream.status()[0].name == "NOT_FOUND"

    def test_an_idle_stream_stays_open(self, service: Service, topic: str, sub: str) -> None:
        stream = service.stream(sub)
        assert stream.received(timeout=2) == []
        service.publish(topic, b"a")

        assert stream.next().message.data == b"a"


class TestProtocol:
    def test_the_first_request_names_a_subscription(self, service: Service) -> None:
        assert service.stream("").status()[0].name == "INVALID_ARGUMENT"

    def test_a_later_one_does_not(self, service: Service, sub: str) -> None:
        stream = service.stream(sub)
        stream.send(subscription=sub)

        assert stream.status()[0].name == "INVALID_ARGUMENT"

    def test_nonsense_ends_the_stream(self, service: Service, sub: str) -> None:
        for request in (
            {"ack_ids": ["garbage"]},
            {"modify_deadline_ack_ids": ["garbage"], "modify_deadline_seconds": [10]},
            {"modify_deadline_ack_ids": ["a", "b"], "modify_deadline_seconds": [10]},
        ):
            stream = service.stream(sub)
            stream.send(**request)
            assert stream.status()[0].name == "INVALID_ARGUMENT", request


class TestSharing:
    def test_two_streams_share_the_messages(self, service: Service, topic: str, sub: str) -> None:
        streams = [service.stream(sub) for _ in range(2)]
        for each in numbered(100):
            service.publish(topic, each)
        got: list[list[bytes]] = [[], []]
        deadline = time.monotonic() + 10
        while sum(map(len, got)) < 100 and time.monotonic() < deadline:
            for mine, stream in zip(got, streams, strict=True):
                mine += data_of(stream.received(timeout=0.05))

        assert sorted(got[0] + got[1]) == sorted(numbered(100))
        assert all(got)

    def test_pulls_that_race_get_each_message_once(
        self, service: Service, topic: str, sub: str
    ) -> None:
        service.publish(topic, *numbered(1000))
        got: list[bytes] = []

        def work() -> None:
            while received := service.pull_now(sub, 50):
                service.ack(sub, *received)
                got.extend(data_of(received))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted(numbered(1000))


class TestPull:
    def test_it_waits_for_a_message(self, service: Service, topic: str, sub: str) -> None:
        timer = threading.Timer(0.5, service.publish, (topic, b"a"))
        timer.start()

        assert data_of(service.pull(sub)) == [b"a"]
        timer.join()

    def test_it_is_answered_before_the_client_gives_up(self, service: Service, sub: str) -> None:
        response = service.call("Pull", timeout=3, subscription=sub, max_messages=1)

        assert list(response.received_messages) == []

    @pytest.mark.parametrize(
        "number", [0, pytest.param(-1, marks=pytest.mark.google_differs("-1 is accepted"))]
    )
    def test_it_asks_for_something(self, service: Service, sub: str, number: int) -> None:
        with refused("INVALID_ARGUMENT"):
            service.call("Pull", subscription=sub, max_messages=number, return_immediately=True)

    @pytest.mark.google_differs("at most 100 messages a call")
    def test_it_gives_as_many_as_are_asked_for(
        self, service: Service, topic: str, sub: str
    ) -> None:
        service.publish(topic, *numbered(1000))

        response = service.call("Pull", subscription=sub, max_messages=1000)
        assert data_of(response.received_messages) == numbered(1000)


def test_messages_come_at_once(service: Service, topic: str, sub: str) -> None:
    stream = service.stream(sub)
    delays = []
    for _ in range(20):
        started = time.monotonic()
        service.publish(topic, b"a")
        stream.send(ack_ids=[stream.next().ack_id])
        delays.append(time.monotonic() - started)

    assert sorted(delays)[10] < 0.2


def test_a_compressed_request_is_read(service: Service, topic: str, sub: str) -> None:
    with grpc.insecure_channel(service.address, compression=grpc.Compression.Gzip) as channel:
        publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=types.PublishRequest.serialize,
        )
        publish(types.PublishRequest(topic=topic, messages=[{"data": b"x" * 1000}]), timeout=10)

    assert data_of(service.pull(sub)) == [b"x" * 1000]


def test_an_unknown_method_is_unimplemented(service: Service) -> None:
    with grpc.insecure_channel(service.address) as channel:
        for method in ("/google.pubsub.v1.Publisher/Nope", "/nope.Nope/Nope"):
            with refused("UNIMPLEMENTED"):
                channel.unary_unary(method)(b"", timeout=10)
