"""Ack deadlines and the retry policy.

Waiting is shared: what takes a deadline of 10 s happens in one wait of the fixture ``waited``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from .conftest import Service, data_of, refused

MakeSubscription = Callable[..., str]
LATE = 1.0
"""Seconds that a redelivery may come late."""


class Waits:
    """Waits for the next delivery of several subscriptions at once, each in a thread."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads: list[threading.Thread] = []
        self.after: dict[str, float] = {}
        """The seconds that each took, by name."""

    def start(self, name: str, subscription: str, within: float, number: int = 1) -> None:
        def run(start: float) -> None:
            if len(self._service.pull(subscription, number, within)) == number:
                self.after[name] = time.monotonic() - start

        self._threads.append(threading.Thread(target=run, args=(time.monotonic(),)))
        self._threads[-1].start()

    def join(self) -> dict[str, float]:
        for thread in self._threads:
            thread.join()
        return self.after


@dataclass
class Waited:
    """What was seen in one long wait: seconds until messages were redelivered, by subscription."""

    service: Service
    after: dict[str, float]
    received: dict[str, Any]
    """What was pulled before the wait."""


@pytest.fixture(scope="session")
def waited(pubsub_server: str, channel: grpc.Channel) -> Iterator[Waited]:
    service = Service(pubsub_server, channel, f"waited-{uuid.uuid4().hex[:12]}")
    topic = service.topic()
    backoff = {"minimum_backoff": {"seconds": 2}}
    special = {
        "exactly": {"enable_exactly_once_delivery": True},
        "backoff": {"retry_policy": backoff},
    }
    pulled = ("plain", "extended", "shortened", "acked", "late", "exactly", "backoff")
    subs = {name: service.subscription(topic, name, **special.get(name, {})) for name in pulled}
    streamed = {
        name: service.subscription(topic, name, ack_deadline_seconds=60)
        for name in ("streamed", "cancelled", "half-closed", "cut-off")
    }
    service.publish(topic, b"a", b"b")
    received = {name: service.pull(sub, 2) for name, sub in subs.items()}
    streams = {
        name: service.stream(sub, stream_ack_deadline_seconds=10) for name, sub in streamed.items()
    }
    for stream in streams.values():
        stream.next_data(2)
    waits = Waits(service)
    service.modack(subs["extended"], 12, *received["extended"])
    service.modack(subs["shortened"], 2, *received["shortened"])
    service.ack(subs["acked"], *received["acked"])
    streams["cancelled"].cancel()
    streams["half-closed"].half_close()
    streams["cut-off"].close()
    for name, sub in {**subs, **streamed}.items():
        if name not in ("late", "streamed"):
            waits.start(name, sub, within=11 if name == "acked" else 13, number=2)
    started = time.monotonic()
    streams["streamed"].next(timeout=13)
    waits.after["streamed"] = time.monotonic() - started
    yield Waited(service, waits.join(), received)
    service.close()


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=LATE)


class TestLeases:
    def test_they_last_as_long_as_they_should(self, waited: Waited) -> None:
        expected = {"plain": 10, "exactly": 10, "extended": 12, "shortened": 2, "streamed": 10}

        assert {name: waited.after.get(name) for name in expected} == {
            name: about(seconds) for name, seconds in expected.items()
        }

    def test_what_was_acknowledged_is_not_redelivered(self, waited: Waited) -> None:
        assert "acked" not in waited.after

    def test_a_late_ack_counts(self, waited: Waited) -> None:
        sub = f"{waited.service.project}/subscriptions/late"
        waited.service.ack(sub, *waited.received["late"])

        assert waited.service.pull_now(sub) == []

    def test_unless_delivery_is_exactly_once(self, waited: Waited) -> None:
        with refused("INVALID_ARGUMENT"):
            waited.service.ack(
                f"{waited.service.project}/subscriptions/exactly", *waited.received["exactly"]
            )

    @pytest.mark.google_differs("no backoff after an expiry")
    def test_the_retry_policy_counts_after_an_expiry(self, waited: Waited) -> None:
        assert waited.after["backoff"] == about(12)

    @pytest.mark.google_differs(
        "what is redelivered may go to a stream that is gone, for another deadline", strict=False
    )
    @pytest.mark.parametrize("how", ["cancelled", "half-closed", "cut-off"])
    def test_those_of_a_stream_end_at_the_deadline_at_the_latest(
        self, waited: Waited, how: str
    ) -> None:
        assert waited.after[how] < 10 + LATE


@pytest.mark.slow
def test_the_deadline_of_a_subscription_counts(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription(ack_deadline_seconds=30)
    service.publish(topic, b"a")
    service.pull(name)
    waits = Waits(service)
    waits.start("30", name, within=33)

    assert waits.join() == {"30": about(30)}


def test_a_nacked_message_is_redelivered_at_once(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    service.publish(topic, b"a")
    stream = service.stream(name)
    started = time.monotonic()
    for _ in range(5):
        received = stream.next()
        stream.send(modify_deadline_ack_ids=[received.ack_id], modify_deadline_seconds=[0])

    stream.next()
    assert time.monotonic() - started < 1


@pytest.mark.google_differs("the first nacked message is redelivered at once, later ones early")
def test_the_retry_policy_counts_from_the_first_refusal(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription(
        retry_policy={"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 2}}
    )
    service.publish(topic, b"a")
    (received,) = service.pull(name)
    delays = []
    for _ in range(2):
        started = time.monotonic()
        service.nack(name, received)
        (received,) = service.pull(name)
        delays.append(time.monotonic() - started)

    # With jitter, so that the first is at least about the minimum.
    assert delays == pytest.approx([1, 2], abs=0.5)


class TestRetryPolicy:
    @pytest.mark.parametrize(
        "policy",
        [
            {"minimum_backoff": {"seconds": 20}, "maximum_backoff": {"seconds": 10}},
            {"maximum_backoff": {"seconds": 601}},
            {"minimum_backoff": {"seconds": -1}},
        ],
    )
    def test_its_limits(self, make_subscription: MakeSubscription, policy: Any) -> None:
        with refused("INVALID_ARGUMENT"):
            make_subscription(retry_policy=policy)

    def test_its_defaults(self, service: Service, make_subscription: MakeSubscription) -> None:
        name = make_subscription(retry_policy={})

        policy = service.call("GetSubscription", subscription=name).retry_policy
        assert policy.minimum_backoff.total_seconds() == 10
        assert policy.maximum_backoff.total_seconds() == 600


class TestRanges:
    @pytest.mark.parametrize(
        "seconds",
        [
            pytest.param(5, marks=pytest.mark.google_differs("5 s is accepted")),
            pytest.param(9, marks=pytest.mark.google_differs("9 s is accepted")),
            601,
            -1,
        ],
    )
    def test_of_a_subscription(self, make_subscription: MakeSubscription, seconds: int) -> None:
        with refused("INVALID_ARGUMENT"):
            make_subscription(ack_deadline_seconds=seconds)

    @pytest.mark.parametrize(
        "seconds",
        [-1, pytest.param(601, marks=pytest.mark.google_differs("601 s is accepted"))],
    )
    def test_of_an_extension(
        self, service: Service, topic: str, make_subscription: MakeSubscription, seconds: int
    ) -> None:
        name = make_subscription()
        service.publish(topic, b"a")
        (received,) = service.pull(name)
        with refused("INVALID_ARGUMENT"):
            service.modack(name, seconds, received)
        service.modack(name, 5, received)

    @pytest.mark.parametrize("seconds", [0, 5, 601])
    def test_of_a_stream(
        self, service: Service, make_subscription: MakeSubscription, seconds: int
    ) -> None:
        stream = service.stream(make_subscription(), stream_ack_deadline_seconds=seconds)

        assert stream.status()[0].name == "INVALID_ARGUMENT"


def test_acknowledging_twice_or_nothing_or_nonsense(
    service: Service, topic: str, make_subscription: MakeSubscription
) -> None:
    name = make_subscription()
    service.publish(topic, b"a")
    (received,) = service.pull(name)
    service.ack(name, received)
    service.ack(name, received)

    for method in (service.ack, lambda sub, *ids: service.modack(sub, 20, *ids)):
        with refused("INVALID_ARGUMENT"):
            method(name)
        with refused("INVALID_ARGUMENT"):
            method(name, "garbage")
    assert data_of(service.pull_now(name)) == []
