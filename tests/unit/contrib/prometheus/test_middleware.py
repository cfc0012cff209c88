"""What is counted of messages, as the registry of prometheus-client has it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from prometheus_client import REGISTRY

import rele
from rele import Callback, Subscription
from rele.config import Config
from rele.contrib.prometheus.metrics import OUTCOMES_OF_ERRORS, WITHOUT_HANDLER, PublishCounter
from rele.declaration.batch import Batch
from rele.exceptions import DeadLetter, Drop, PartialFailure, Reject, Retry
from rele.middleware import register_middleware, run_middleware_hook
from rele.status.providers import Status
from rele.status.snapshot import Contribution, SubscriptionStatus
from rele.testing import deliver
from tests.support.backends import HeldBackend
from tests.support.recorder import raising


@pytest.fixture(autouse=True)
def status(monkeypatch: pytest.MonkeyPatch) -> Status:
    """The status of this process, which the other tests do not see."""
    status = Status()
    monkeypatch.setattr("rele.contrib.prometheus.rendering.STATUS", status)
    return status


@pytest.fixture(autouse=True)
def _in_use() -> None:
    rele.setup(
        {
            "MIDDLEWARE": ["rele.contrib.PrometheusMiddleware"],
            "PUBLISHER_BACKEND": f"{__name__}.SentBackend",
        }
    )


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic that no other test uses, since the registry forgets nothing."""
    return f"topic-{abs(hash(request.node.nodeid))}"


class SentBackend(HeldBackend):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.outcome = "message-1"


def handle(data: Any, **attributes: Any) -> None:
    """A handler that has nothing to do."""


def counted(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    return 0.0 if value is None else value


def outcomes(subscription: str) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == "rele_messages_total"
        and sample.labels["subscription"] == subscription
        and sample.value
    }


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "succeeded"),
        (ValueError(), "failed"),
        (Drop(), "dropped"),
        (Retry(), "retried"),
        (DeadLetter(), "dead_lettered"),
        (Reject("No."), "rejected"),
    ],
)
def test_a_message_is_counted_by_how_it_ended(
    topic: str, error: BaseException | None, outcome: str
) -> None:
    deliver(Subscription(handle if error is None else raising(error), topic), 1)

    assert outcomes(topic) == {outcome: 1}
    assert counted("rele_handler_seconds_count", subscription=topic) == 1
    assert counted("rele_publish_to_handle_seconds_count", subscription=topic) == 1


def test_a_subscription_is_shown_before_its_first_message(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = Status()
    status.add(lambda: Contribution(subscriptions=(SubscriptionStatus(topic, topic, 2),)))
    monkeypatch.setattr("rele.contrib.prometheus.middleware.STATUS", status)

    run_middleware_hook("post_worker_start")

    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"subscription": topic, **labels})

    outcomes = {outcome for _, outcome in OUTCOMES_OF_ERRORS} | WITHOUT_HANDLER
    for outcome in (*outcomes, "succeeded", "failed"):
        assert value("rele_messages_total", outcome=outcome) == 0, outcome
    assert value("rele_handler_seconds_count") == 0
    assert value("rele_inbox_duplicates_total") == 0


def test_a_message_whose_handler_does_not_run_has_no_duration(topic: str) -> None:
    sub = Subscription(handle, topic, filter_by=lambda lang, **_: lang == "en")

    deliver(sub, 1, lang="de")
    deliver(sub, b"\xff", lang="en")

    assert outcomes(topic) == {"filtered": 1, "undecodable": 1}
    assert counted("rele_handler_seconds_count", subscription=topic) == 0
    assert counted("rele_publish_to_handle_seconds_count", subscription=topic) == 0


def test_an_async_handler_is_measured_too(topic: str) -> None:
    async def handle(data: Any, **_: str) -> None:
        if data == 2:
            raise ValueError

    for number in range(3):
        deliver(Subscription(handle, topic), number)

    assert outcomes(topic) == {"succeeded": 2, "failed": 1}
    assert counted("rele_handler_seconds_count", subscription=topic) == 3


def test_a_batch_is_one_run_of_its_handler(topic: str) -> None:
    def handle(batch: list[rele.BatchMessage]) -> None:
        raise PartialFailure({batch[1]: ValueError()})

    deliver(Subscription(handle, topic, batch=Batch()), [1, 2, 3])

    assert outcomes(topic) == {"succeeded": 2, "failed": 1}
    assert counted("rele_handler_seconds_count", subscription=topic) == 1
    assert counted("rele_publish_to_handle_seconds_count", subscription=topic) == 3
    assert counted("rele_batch_size_count", subscription=topic) == 1
    assert counted("rele_batch_size_sum", subscription=topic) == 3


def test_followers_of_a_failed_message_are_not_handled(topic: str) -> None:
    def handle(batch: list[rele.BatchMessage]) -> None:
        batch[0].nack(ValueError())

    deliver(Subscription(handle, topic, batch=Batch()), [1, 2], ordering_key="key")

    assert outcomes(topic) == {"failed": 1, "not_handled": 1}


@pytest.mark.parametrize(("age", "waited"), [(90.0, 90.0), (-90.0, 0.0)])
def test_the_time_since_the_publish_is_never_negative(
    topic: str, age: float, waited: float
) -> None:
    class Received:
        message_id, data, attributes, ordering_key = "1", b"1", {}, ""
        publish_time = datetime.now(timezone.utc) - timedelta(seconds=age)
        delivery_attempt = None
        ack_id = "1"

        def ack(self) -> None:
            pass

    Callback(Subscription(handle, topic))(Received())

    seconds = counted("rele_publish_to_handle_seconds_sum", subscription=topic)
    assert seconds == pytest.approx(waited, abs=5)


def test_how_long_a_handler_runs(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(data: Any, **_: str) -> None:
        later = time.time() + 40
        monkeypatch.setattr(time, "time", lambda: later)

    deliver(Subscription(handle, topic), 1)

    assert counted("rele_handler_seconds_sum", subscription=topic) == pytest.approx(40, abs=5)
    assert counted("rele_handler_seconds_bucket", subscription=topic, le="30.0") == 0
    assert counted("rele_handler_seconds_bucket", subscription=topic, le="60.0") == 1


def test_published_messages_and_failures_are_counted_by_topic(topic: str) -> None:
    rele.publish(topic, 1)
    rele.publish(topic, 2)
    with pytest.raises(TypeError):
        rele.publish(topic, object())

    assert counted("rele_published_total", topic=topic) == 2
    assert counted("rele_publish_failures_total", topic=topic) == 1


def test_a_publish_in_the_middle_of_counting_another_one_waits_for_nothing() -> None:
    """As of a signal handler, which finds the lock of its own thread held."""
    seen: list[str] = []

    class Child:
        def inc(self) -> None:
            if len(seen) == 1:
                counter.count("from the handler")

    class Counter:
        def labels(self, topic: str) -> Child:
            seen.append(topic)
            return Child()

    counter = PublishCounter(Counter())  # type: ignore[arg-type]
    counter.count("interrupted")
    counter.count("later")

    assert seen == ["interrupted", "from the handler", "later"]


def test_what_is_set_up_again_counts_on(topic: str, status: Status) -> None:
    for _ in range(2):
        register_middleware(Config({"MIDDLEWARE": ["rele.contrib.PrometheusMiddleware"]}))
        deliver(Subscription(handle, topic), 1)

    assert outcomes(topic) == {"succeeded": 2}
    figures = [figure.name for figure in status.snapshot().figures]
    assert figures.count("rele_publisher_outstanding_messages") == 1
