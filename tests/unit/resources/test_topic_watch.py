from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.cloud import pubsub_v1

from rele.resources.topic_watch import TopicWatch
from rele.subscription import Subscription
from tests.support.virtual_time import VirtualTime

PHOTOS = "projects/rele/subscriptions/photos"
ORDERS = "projects/rele/subscriptions/orders"


class FakeSubscriber:
    """Answers what subscriptions are asked for; notes each question."""

    subscription_path = staticmethod(pubsub_v1.SubscriberClient.subscription_path)

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    def get_subscription(self, request: dict[str, str], retry: None, timeout: float) -> Any:
        path = request["subscription"]
        answer = self.answers.get(path, "projects/rele/topics/photos")
        self.asked.append(path)
        if isinstance(answer, Exception):
            raise answer
        return Mock(topic=answer)


@pytest.fixture
def server() -> FakeSubscriber:
    return FakeSubscriber()


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


def watch(server: FakeSubscriber, time: VirtualTime, recreates: bool = True) -> TopicWatch:
    subscriptions = [Subscription(print, "photos"), Subscription(print, "orders")]
    watch = TopicWatch(server, "rele", subscriptions, recreates, timer=time)
    watch.start()
    return watch


@pytest.mark.parametrize(
    ("recreates", "advice"),
    [(True, ": the worker then creates both."), (False, ", and create both.")],
)
def test_a_deleted_topic_is_logged_at_each_check_with_what_to_do(
    server: FakeSubscriber,
    time: VirtualTime,
    caplog: pytest.LogCaptureFixture,
    recreates: bool,
    advice: str,
) -> None:
    server.answers[PHOTOS] = "_deleted-topic_"
    watch(server, time, recreates)

    time.advance(3600)

    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 60
    message = errors[0].getMessage()
    assert message.startswith("The topic photos was deleted")
    assert message.endswith(f"(gcloud pubsub subscriptions delete {PHOTOS}){advice}")


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NotFound("the stream sees to it"),
        exceptions.ServiceUnavailable("away"),
        RefreshError("no token"),  # type: ignore[no-untyped-call]
    ],
)
def test_what_cannot_be_read_now_is_read_again(
    server: FakeSubscriber, time: VirtualTime, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    server.answers[PHOTOS] = error
    watch(server, time)

    time.advance(180)

    assert server.asked.count(PHOTOS) == 3
    assert caplog.records == []


def test_an_error_that_nobody_expects_does_not_end_the_watch(
    server: FakeSubscriber, time: VirtualTime
) -> None:
    server.answers[PHOTOS] = ValueError("odd")
    watch(server, time)

    for _ in range(3):
        with pytest.raises(ValueError, match="odd"):  # which the thread of an Alarm logs
            time.advance(60)

    assert server.asked.count(PHOTOS) == 3


def test_what_may_not_be_read_is_not_read_again(server: FakeSubscriber, time: VirtualTime) -> None:
    server.answers[PHOTOS] = exceptions.PermissionDenied("no")
    watch(server, time)

    time.advance(240)

    assert server.asked.count(PHOTOS) == 1
    assert server.asked.count(ORDERS) == 4


def test_nothing_is_read_before_a_while_or_after_the_end(
    server: FakeSubscriber, time: VirtualTime
) -> None:
    watching = watch(server, time)
    time.advance(59)
    watching.stop()
    time.advance(3600)

    assert server.asked == []
