"""How many messages Google's client may hold, where the number of threads changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rele.config import Config
from rele.engine.times import Times
from rele.subscription import Subscription
from rele.worker import Worker, make_worker
from tests.integration.conftest import stop
from tests.support.pull_server import PullServer


@pytest.fixture
def worker(pull_server: PullServer) -> Iterator[Worker]:
    settings = {"ENGINE": "google", "RESOURCES": "ignore", "GC_PROJECT_ID": "p", "MIDDLEWARE": []}
    worker = make_worker([Subscription(print, "orders")], Config(settings), times=Times())
    worker.start()
    yield worker
    stop(worker)


def test_more_threads_raise_the_limit_when_the_client_opens_its_stream_again(
    worker: Worker, pull_server: PullServer
) -> None:
    (first,) = pull_server.streams.wait_for(1)
    (consumer,) = worker._consumers
    assert (first.limit, consumer.status().limit) == (100, 100)

    consumer.set_threads(150)
    first.end()

    assert pull_server.streams.wait_for(2)[-1].limit == 150
    assert (consumer.status().threads, consumer.status().limit) == (150, 150)
