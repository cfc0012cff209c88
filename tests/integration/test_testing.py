"""The fixture ``pubsub_emulator``, as a project's tests use it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from statistics import median
from typing import Any

import pytest
from google.cloud import pubsub_v1

import rele
from rele.emulator import EmbeddedServer, ask_status

pytestmark = pytest.mark.both_engines

pytest_plugins = ["pytester"]

TOPIC = "projects/shop/topics/orders"


@pytest.fixture
def publisher(pubsub_emulator: str) -> Iterator[pubsub_v1.PublisherClient]:
    client = pubsub_v1.PublisherClient()
    yield client
    client.stop()
    client.transport.close()


def test_googles_clients_are_led_to_it(
    pubsub_emulator: str, publisher: pubsub_v1.PublisherClient
) -> None:
    publisher.create_topic(name=TOPIC)

    assert ask_status(pubsub_emulator)["topics"] == [{"name": TOPIC, "subscriptions": 0}]


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_has_an_empty_one_that_rele_publishes_to(
    pubsub_emulator: str, publisher: pubsub_v1.PublisherClient, time: str
) -> None:
    rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": []})
    assert ask_status(pubsub_emulator)["topics"] == []
    publisher.create_topic(name=TOPIC)

    future: Future[str] = rele.publish("orders", {"id": 1}, blocking=True)

    assert future.result()


def test_a_set_up_outlives_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        import pytest
        import rele
        from google.cloud import pubsub_v1

        rele.setup({"GC_PROJECT_ID": "shop", "MIDDLEWARE": []})
        os.environ["PUBSUB_EMULATOR_HOST"] = "before:1"

        @pytest.mark.parametrize("time", ["first", "second"])
        def test_publish(pubsub_emulator, time):
            assert os.environ["PUBSUB_EMULATOR_HOST"] == pubsub_emulator
            pubsub_v1.PublisherClient().create_topic(name="projects/shop/topics/orders")
            rele.publish("orders", {"id": 1}, blocking=True)

        def test_the_environment_is_put_back():
            assert os.environ["PUBSUB_EMULATOR_HOST"] == "before:1"
        """
    )

    result: Any = pytester.runpytest_subprocess("-p", "no:django")

    result.assert_outcomes(passed=3)


def test_it_is_ready_within_a_tenth_of_a_second() -> None:
    def seconds_to_start() -> float:
        began = time.perf_counter()
        with EmbeddedServer() as server:
            ask_status(server.address)
            return time.perf_counter() - began

    assert median(seconds_to_start() for _ in range(5)) < 0.1
