from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError
from google.cloud import pubsub_v1

from rele.resources import topic_watch as topics
from rele.resources.topic_watch import TopicWatch
from rele.subscription import Subscription
from tests.support.inbox import Inbox

PHOTOS = "projects/rele/subscriptions/photos"
ORDERS = "projects/rele/subscriptions/orders"


class Server:
    """Answers what subscriptions are asked for; notes each question."""

    subscription_path = staticmethod(pubsub_v1.SubscriberClient.subscription_path)

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked = Inbox()

    def get_subscription(self, request: dict[str, str], retry: None, timeout: float) -> Any:
        path = request["subscription"]
        answer = self.answers.get(path, "projects/rele/topics/photos")
        self.asked.put(path)
        if isinstance(answer, Exception):
            raise answer
        return Mock(topic=answer)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(topics, "LOOK_EVERY", 0.01)
    return Server()


def watch(server: Server, makes_again: bool = True) -> TopicWatch:
    subscriptions = [Subscription(print, "photos"), Subscription(print, "orders")]
    watch = TopicWatch(server, "rele", subscriptions, makes_again)
    watch.start()
    return watch


def wait_for_looks(server: Server, count: int) -> None:
    server.asked.wait_until(lambda asked: asked.count(ORDERS) >= count)


@pytest.mark.parametrize(
    ("makes_again", "advice"),
    [(True, ": the worker then makes both again."), (False, ", and make both again.")],
)
def test_a_deleted_topic_is_said_at_each_look_with_what_to_do(
    server: Server, caplog: pytest.LogCaptureFixture, makes_again: bool, advice: str
) -> None:
    server.answers[PHOTOS] = "_deleted-topic_"
    watching = watch(server, makes_again)

    wait_for_looks(server, 3)
    watching.stop()

    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) >= 2
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
def test_what_cannot_be_read_now_is_looked_at_again(
    server: Server, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    server.answers[PHOTOS] = error
    watching = watch(server)

    wait_for_looks(server, 3)
    watching.stop()

    assert server.asked.items.count(PHOTOS) >= 2
    assert caplog.records == []


def test_what_may_not_be_read_is_not_looked_at_again(server: Server) -> None:
    server.answers[PHOTOS] = exceptions.PermissionDenied("no")
    watching = watch(server)

    wait_for_looks(server, 4)
    watching.stop()

    assert server.asked.items.count(PHOTOS) == 1


def test_nothing_is_asked_before_a_while(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "LOOK_EVERY", 3600.0)

    watch(server).stop()

    assert server.asked.items == []
