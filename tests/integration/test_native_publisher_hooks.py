"""Hooks and callbacks of our own publisher, which run while it goes on."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable
from concurrent.futures import as_completed, wait
from queue import SimpleQueue

from grpc import StatusCode

import rele
from tests.support.publish_server import PublishServer
from tests.support.recorder import Recorder

Configure = Callable[..., Recorder]

SUCCESS = "post_publish_success"


def test_a_hook_that_waits_delays_neither_sending_nor_a_blocking_publish(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()
    may_end = threading.Event()
    recorder.actions[SUCCESS] = lambda _, data, __: data == "slow" and may_end.wait(30)
    slow = rele.publish("photos", "slow")
    recorder.wait_for(1)

    assert rele.publish("photos", "blocking", blocking=True, timeout=5).result(0)
    rele.publish("photos", "background")
    publish_server.accepted.wait_for(3)

    assert [call[2] for call in recorder.calls] == ["slow", "blocking"]
    assert slow.done()
    may_end.set()
    assert rele.flush(10)
    assert [call[2] for call in recorder.calls] == ["slow", "blocking", "background"]


def test_a_hook_may_publish_and_wait(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()

    def publish_again(topic: str, data: object, attributes: object) -> None:
        if topic == "photos":
            rele.publish("others", data, blocking=True, timeout=20)

    recorder.actions[SUCCESS] = publish_again

    for number in range(20):
        rele.publish("photos", number)
    assert rele.flush(20)

    assert len(recorder.calls) == 40
    assert len(publish_server.accepted.items) == 40


def test_a_callback_may_publish_and_wait(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    results: list[str] = []
    done = threading.Event()

    def publish_again(_: object) -> None:
        results.append(rele.publish("others", 2, blocking=True, timeout=20).result(0))
        done.set()

    rele.publish("photos", 1).add_done_callback(publish_again)

    assert done.wait(20)
    assert len(results) == 1


def test_a_failure_hook_may_publish_to_its_ordering_key_and_wait(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively()
    ids: list[str] = []

    def publish_instead(topic: str, error: object, data: object) -> None:
        again = rele.publish("photos", 2, blocking=True, timeout=5, ordering_key="a")
        ids.append(again.result(0))

    recorder.actions["post_publish_failure"] = publish_instead
    publish_server.refuse(StatusCode.NOT_FOUND, times=1)

    rele.publish("photos", 1, ordering_key="a")
    rele.flush(20)

    assert ids == ["1"]


def test_a_callback_may_wait_for_the_future_of_another_message(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    publishes_natively()
    held = publish_server.hold(times=1)
    ids: SimpleQueue[str] = SimpleQueue()

    def publish_more(_: object) -> None:
        ids.put(rele.publish("others", 2).result())
        several = [rele.publish("others", number) for number in range(3)]
        assert wait(several).not_done == set()
        ids.put(str(len(list(as_completed(several)))))

    rele.publish("photos", 1).add_done_callback(publish_more)
    held.requests.wait_for(1)
    held.release()

    assert ids.get(timeout=20) == "2"
    assert ids.get(timeout=20) == "3"


def test_hooks_that_publish_and_wait_do_not_run_within_each_other(
    publish_server: PublishServer, publishes_natively: Configure
) -> None:
    recorder = publishes_natively(PUBLISHER_BATCHING={"max_messages": 1})
    depths: list[int] = []

    def publish_again(topic: str, data: object, attributes: object) -> None:
        if topic == "photos":
            depths.append(len(inspect.stack(0)))
            rele.publish("others", data, blocking=True, timeout=20)

    recorder.actions[SUCCESS] = publish_again

    rele.publish_many("photos", range(300))
    assert rele.flush(60)

    assert len(publish_server.accepted.items) == 600
    assert len(depths) == 300
    assert max(depths) < 100


def test_hooks_may_flush(publish_server: PublishServer, publishes_natively: Configure) -> None:
    recorder = publishes_natively()
    errors: list[Exception] = []
    took: list[float] = []

    def flush(topic: str, data: object, attributes: object) -> None:
        began = time.monotonic()
        try:
            assert rele.flush(20)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)
        took.append(time.monotonic() - began)

    recorder.actions[SUCCESS] = flush

    rele.publish_many("photos", range(200))
    assert rele.flush(30)

    assert errors == []
    assert len(took) == 200
    assert max(took) < 10
