"""Threads that Google's client loses, or cannot start: the stream goes on, and it is logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber._protocol.heartbeater import Heartbeater
from google.cloud.pubsub_v1.subscriber._protocol.leaser import Leaser
from google.cloud.pubsub_v1.subscriber._protocol.streaming_pull_manager import StreamingPullManager

import rele
from rele.config import Config
from rele.engine.times import Times
from rele.exceptions import ThreadStartError
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription
from rele.worker import Worker, make_worker
from tests.integration.conftest import stop
from tests.support.inbox import Inbox

TIMES = Times(check_every=0.1, confirm_after=0.1, first_pause=0.1, longest_pause=0.2)


class Fault:
    """Raises the first ``count`` times, where ``applies`` to what it is called with."""

    def __init__(
        self, function: Callable[..., Any], count: int, applies: Callable[..., bool]
    ) -> None:
        self._function = function
        self._left = count
        self._applies = applies
        self._lock = threading.Lock()
        self.raised = Inbox()

    def __get__(self, instance: Any, owner: Any = None) -> Callable[..., Any]:
        return lambda *args, **kwargs: self(instance, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            fails = self._left > 0 and self._applies(*args)
            self._left -= fails
        if fails:
            self.raised.put(args)
            raise RuntimeError("can't start new thread")
        return self._function(*args, **kwargs)


def break_once(
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    method: str,
    count: int = 1,
    applies: Callable[..., bool] = lambda *args: True,
) -> Fault:
    """Let the method raise the next ``count`` times, where it ``applies``."""
    fault = Fault(getattr(owner, method), count, applies)
    monkeypatch.setattr(owner, method, fault)
    return fault


@pytest.fixture(autouse=True)
def _threads_may_end_by_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)


class Lines(logging.Handler):
    """What is logged, from WARNING."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put(record.getMessage())

    def wait_for(self, text: str) -> None:
        self.inbox.wait_until(lambda lines: any(text in line for line in lines), 60)


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    logger = logging.getLogger("rele.engine")
    logger.addHandler(lines)
    yield lines
    logger.removeHandler(lines)


@pytest.fixture
def config(embedded_server: str, project_id: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
    return rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], "ENGINE": "google"})


class Run:
    """Starts workers; each call returns what its worker handles."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.workers: list[Worker] = []

    def __call__(self) -> Inbox:
        handled = Inbox()
        jobs = Subscription(
            lambda data, **attributes: handled.put(data), "jobs", retry_policy=RetryPolicy(1, 1)
        )
        worker = make_worker([jobs], self._config, times=TIMES)
        worker.setup()
        worker.start()
        self.workers.append(worker)
        return handled


@pytest.fixture
def run(config: Config) -> Iterator[Run]:
    run = Run(config)
    yield run
    for worker in run.workers:
        stop(worker)


def publish(count: int) -> range:
    for number in range(count):
        rele.publish("jobs", number, blocking=True)
    return range(count)


def assert_all_are_handled(handled: Inbox, numbers: Iterable[int]) -> None:
    handled.wait_until(lambda items: set(items) >= set(numbers), 30)


def test_no_thread_is_started_for_a_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    handled = run()
    fault = break_once(
        monkeypatch,
        threading.Thread,
        "start",
        1000,
        lambda thread: "jobs" in thread.name or thread.name.startswith("rele"),
    )

    assert_all_are_handled(handled, publish(20))

    assert fault.raised.items == []


@pytest.mark.parametrize(
    ("owner", "method", "name"),
    [
        (StreamingPullManager, "_on_response", "Thread-ConsumeBidirectionalStream"),
        (Leaser, "maintain_leases", "Thread-LeaseMaintainer"),
        (Heartbeater, "heartbeat", "Thread-Heartbeater"),
    ],
)
def test_a_thread_that_has_ended_is_noticed_and_the_stream_started_again(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    owner: Any,
    method: str,
    name: str,
) -> None:
    fault = break_once(monkeypatch, owner, method)
    handled = run()

    publish(1)  # what the stream had received is redelivered when its ack deadline has passed

    fault.raised.wait_for(1, 60)
    lines.wait_for(f"the thread {name} of Google's client has ended")
    assert_consumed_again(handled)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_stream_that_ends_while_no_thread_can_be_started_is_started_again(
    run: Run,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    count: int,
) -> None:
    handled = run()
    assert_all_are_handled(handled, publish(1))
    fault = break_once(
        monkeypatch,
        threading.Thread,
        "start",
        count,
        lambda thread: not thread.name.startswith("server"),
    )

    delete_subscription(config)

    fault.raised.wait_for(count)
    assert_consumed_again(handled)
    assert lines.inbox.items


@pytest.mark.parametrize(
    "name", ["CallbackRequestDispatcher", "ConsumeBidirectionalStream", "LeaseMaintainer", "Heart"]
)
def test_a_stream_that_is_half_open_is_closed_and_another_opened(
    run: Run,
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    lines: Lines,
    name: str,
) -> None:
    handled = run()
    assert_all_are_handled(handled, publish(1))
    fault = break_once(
        monkeypatch, threading.Thread, "start", 2, lambda thread: name in thread.name
    )

    delete_subscription(config)

    fault.raised.wait_for(2)
    assert_consumed_again(handled)
    lines.wait_for("No thread can be started for the stream of jobs")
    assert count_threads("LeaseMaintainer") == 1
    assert count_threads("ConsumeBidirectionalStream") == 1


def test_a_worker_that_cannot_have_its_threads_does_not_start(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_once(
        monkeypatch, threading.Thread, "start", 1, lambda thread: "rele-jobs_" in thread.name
    )

    with pytest.raises(ThreadStartError, match="the handlers of jobs: raise the limit of threads"):
        run()


def test_a_worker_that_can_start_no_thread_ends_in_order(
    run: Run, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    handled = run()
    assert_all_are_handled(handled, publish(1))

    break_once(monkeypatch, threading.Thread, "start", 1000)

    for worker in run.workers:
        stop(worker)

    lines.wait_for("The stream of jobs ends without a thread of its own")
    assert count_threads("LeaseMaintainer") == 0


def delete_subscription(config: Config) -> None:
    with pubsub_v1.SubscriberClient() as client:
        path = client.subscription_path(config.gc_project_id, "jobs")
        client.delete_subscription(request={"subscription": path})


def assert_consumed_again(handled: Inbox) -> None:
    """What is published once the subscription is there again is handled."""
    for _ in range(100):
        rele.publish("jobs", "again", blocking=True)
        try:
            handled.wait_until(lambda items: "again" in items, 0.5)
        except AssertionError:
            continue
        return
    raise AssertionError("nothing is handled any more")


def count_threads(name: str) -> int:
    return sum(name in thread.name for thread in threading.enumerate())
