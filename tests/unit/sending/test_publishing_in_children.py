"""A publish in a process that may end without sending what is outstanding."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from google.api_core.exceptions import NotFound

from rele.sending.publisher import Publisher
from tests.support.backends import HeldBackend
from tests.support.recorder import Recorder

Publish = Callable[[Publisher], Future[str]]


@pytest.fixture
def backend() -> Iterator[HeldBackend]:
    backend = HeldBackend()
    backend.settles_at_flush = True
    yield backend
    backend.settle_the_rest()


def main_work_horse(backend: HeldBackend, timeout: float) -> Publisher:
    """A publisher of a work horse of RQ, which is recognised by this call."""
    return Publisher(backend, json.JSONEncoder, timeout)


def test_waits_for_the_outcome_and_the_hooks(backend: HeldBackend, hooks: Recorder) -> None:
    publisher = main_work_horse(backend, timeout=10)
    threading.Timer(0.05, backend.settle_the_rest).start()

    future = publisher.publish("photos", 1)

    assert future.done()
    assert hooks.names[-2:] == ["post_publish_success", "post_publish"]
    assert backend.flushes == [0]


def test_waits_for_many_once(backend: HeldBackend) -> None:
    publisher = main_work_horse(backend, timeout=10)
    threading.Timer(0.05, backend.settle_the_rest).start()

    futures = publisher.publish_many("photos", range(100))

    assert all(future.done() for future in futures)
    assert backend.flushes == [0]


def test_raises_nothing_for_a_message_that_pubsub_refuses(
    backend: HeldBackend, hooks: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = main_work_horse(backend, timeout=10)
    backend.outcome = NotFound("no such topic")

    future = publisher.publish("photos", 1)

    assert isinstance(future.exception(0), NotFound)
    assert hooks.names[-1] == "post_publish_failure"
    assert caplog.text == ""


def test_counts_what_was_not_accepted_in_time(
    backend: HeldBackend, hooks: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = main_work_horse(backend, timeout=0.05)
    before = time.monotonic()

    futures = publisher.publish_many("photos", [1, 2, 3])

    assert time.monotonic() - before >= 0.05
    assert not any(future.done() for future in futures)
    assert "post_publish_failure" not in hooks.names
    [record] = caplog.records
    assert record.getMessage() == (
        "3 published message(s) may be lost: Pub/Sub had not accepted them within 0.05 s, and a "
        "work horse of RQ may end this process before it does."
    )


def test_does_not_stop_an_event_loop(
    backend: HeldBackend, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = main_work_horse(backend, timeout=10)

    async def publish() -> Future[str]:
        publisher.publish("photos", 1)
        return publisher.publish("photos", 2)

    assert not asyncio.run(publish()).done()
    assert caplog.text.count("running event loop") == 1


def test_does_not_wait_where_the_setting_says_so(backend: HeldBackend) -> None:
    def main_work_horse() -> Publisher:
        return Publisher(backend, json.JSONEncoder, 10, forked="background")

    assert not main_work_horse().publish("photos", 1).done()
    assert backend.flushes == []
