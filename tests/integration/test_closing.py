"""What is closed while Pub/Sub is unavailable leaves no thread behind, and logs nothing more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rele.client import Subscriber
from rele.config import Config
from rele.emulator import ask_status
from rele.engine.google.scheduler import DrainingScheduler
from rele.engine.times import Times
from rele.subscription import Callback, Subscription
from rele.worker import make_worker
from tests.integration.conftest import stop
from tests.support.inbox import Inbox
from tests.support.proxy import Proxy
from tests.support.virtual_time import VirtualTime

SUBSCRIPTION = Subscription(print, "greetings")
TIMES = Times(report_every=0.0, outage_grace=0.1)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put(record.getMessage())


@pytest.fixture
def said() -> Iterator[Inbox]:
    """What is logged about the outage, which is all the time."""
    handler = Records()
    logger = logging.getLogger("rele.engine")
    logger.addHandler(handler)
    yield handler.inbox
    logger.removeHandler(handler)


@pytest.fixture
def proxy(embedded_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(embedded_server) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        yield proxy


@pytest.fixture
def assert_all_end() -> Callable[[], None]:
    """Fail unless every thread ends soon that was started in the test."""
    before = set(threading.enumerate())

    def assert_all_end() -> None:
        deadline = time.monotonic() + 10
        started = [thread for thread in threading.enumerate() if thread not in before]
        for thread in started:
            thread.join(max(deadline - time.monotonic(), 0))
        assert [thread.name for thread in started if thread.is_alive()] == []

    return assert_all_end


def wait_for_stream(server: str, project_id: str) -> None:
    """Return once the server has a stream of the project's subscription."""
    path, deadline = f"projects/{project_id}/subscriptions/greetings", time.monotonic() + 20
    while not any(
        each["name"] == path and each["consumers"] for each in ask_status(server)["subscriptions"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the server notifies nobody


def test_a_resilient_subscriber(
    embedded_server: str,
    proxy: Proxy,
    said: Inbox,
    assert_all_end: Callable[[], None],
    project_id: str,
) -> None:
    subscriber = Subscriber(project_id, None, None, None, resilient=True, times=TIMES)
    subscriber.update_or_create_subscription(SUBSCRIPTION)
    subscriber.watch_topics([SUBSCRIPTION], recreates=True).start()
    with ThreadPoolExecutor(1) as executor:
        future: Any = subscriber.consume(
            subscription_name=SUBSCRIPTION.name,
            callback=Callback(SUBSCRIPTION),
            scheduler=DrainingScheduler(executor, 1, VirtualTime()),
        )
        wait_for_stream(embedded_server, project_id)
        proxy.cut()
        said.wait_for(2)

        subscriber.close()

        lines = len(said.items)
        assert future.exception(timeout=10) is not None
    assert_all_end()
    assert len(said.items) == lines


def test_a_worker(
    embedded_server: str,
    proxy: Proxy,
    said: Inbox,
    assert_all_end: Callable[[], None],
    project_id: str,
) -> None:
    config = Config({"GC_PROJECT_ID": project_id, "MIDDLEWARE": []})
    worker = make_worker([SUBSCRIPTION], config, times=TIMES)
    worker.setup()
    worker.start()
    wait_for_stream(embedded_server, project_id)
    proxy.cut()
    said.wait_for(2)

    stop(worker)

    assert_all_end()
