"""Asking Pub/Sub what it has, without letting a page wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from rele.config import Config
from rele.contrib.admin.server_state import FRESH, ServerState, ServerWatch
from rele.declaration.subscription import Subscription
from rele.exceptions import ResourceError
from rele.project.comparison import Comparison
from rele.resources import Plan
from rele.resources.changes import CREATE_SUBSCRIPTION, CREATE_TOPIC, Change

CONFIG = Config({})


def declared(topic: str) -> Subscription:
    return Subscription(print, topic, prefix="shop")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def known(watch: ServerWatch) -> ServerState:
    state = watch.latest(CONFIG, [], patience=20)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (ResourceError("403 no permission"), "403 no permission"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_why_pubsub_does_not_say_is_shown(error: Exception, complaint: str) -> None:
    def compare(*_: Any) -> Comparison:
        raise error

    assert known(ServerWatch(compare)).complaints == (complaint,)


def test_pubsub_is_asked_once_a_minute() -> None:
    asked: list[object] = []
    clock = Clock()
    watch = ServerWatch(lambda *_: asked.append(1) or Comparison(Plan()), clock)

    for _ in range(3):
        known(watch)
    assert len(asked) == 1

    clock.now += FRESH
    known(watch)
    assert len(asked) == 2


def test_a_page_does_not_wait_for_a_server_that_does_not_answer() -> None:
    answer = threading.Event()
    asked: list[object] = []

    def compare(*_: Any) -> Comparison:
        asked.append(1)
        assert answer.wait(20)
        return Comparison(Plan())

    watch = ServerWatch(compare)

    assert watch.latest(CONFIG, [], patience=0) is None
    assert watch.latest(CONFIG, [], patience=0.01) is None
    answer.set()
    assert known(watch).complaints == ()
    assert len(asked) == 1, "while one waits, no other asks"


def test_the_changes_for_a_subscription_are_its_own_and_those_that_it_needs() -> None:
    def path(kind: str, name: str) -> str:
        return f"projects/p/{kind}/{name}"

    creation: Callable[..., Change] = Change
    dead = path("topics", "shop-orders-dead-letter")
    changes = (
        creation(CREATE_TOPIC, path("topics", "orders")),
        creation(CREATE_TOPIC, dead),
        creation(
            CREATE_SUBSCRIPTION, path("subscriptions", "shop-orders"), needs=frozenset({dead})
        ),
        creation(CREATE_SUBSCRIPTION, path("subscriptions", "shop-photos")),
    )
    state = known(ServerWatch(lambda *_: Comparison(Plan(changes))))

    assert state.changes_for(declared("orders")) == list(changes[:3])
    assert state.changes_for(declared("photos")) == list(changes[3:])
