"""Messages that nobody should send, on a real server: the worker goes on, and good ones in time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import pytest
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1.subscriber.message import Message as GoogleMessage

from rele.engine.base import Message
from rele.engine.google.clients import make_client
from rele.engine.times import Times
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription
from rele.worker import make_worker
from tests.conformance.conftest import Service
from tests.integration.conftest import stop
from tests.support import poison
from tests.support.bundled import SETS, reading_logs, set_up
from tests.support.inbox import Inbox
from tests.support.poison import Poison
from tests.support.processors import OwnTime

pytestmark = pytest.mark.both_engines(slow="google")

GOOD = {"order": 1}

AT_A_TIME = 4
"""Bad messages that are published at a time. A busy machine handles so many soon, too."""

TIMES = Times(blocked_after=30)
"""To decode ten megabytes stops a busy machine's other threads for seconds, which is logged."""

SOON = 2.5
"""Seconds by which the worker may handle a good message later than a consumer without bad ones.

The limit of outstanding messages may grow only after a second.
"""

BUSY = 5
"""How much longer than the other consumer a worker may wait on a busy machine, besides."""


class Observer:
    """A middleware from which the handler gets the id of its message, and notes how each ended."""

    handling = threading.local()
    succeeded: Inbox
    failed: Inbox
    ended: Inbox

    def setup(self, config: Any, **kwargs: Any) -> None:
        for name in ("succeeded", "failed", "ended"):
            setattr(type(self), name, Inbox())

    def pre_process_message(self, subscription: Subscription, message: Message) -> None:
        self.handling.id = message.message_id

    def post_process_message_success(
        self, subscription: Subscription, start_time: float, message: Message
    ) -> None:
        self.succeeded.put(message.message_id)

    def post_process_message_failure(
        self, subscription: Subscription, error: BaseException, start_time: float, message: Message
    ) -> None:
        self.failed.put(message.message_id)

    def post_process_message(self) -> None:
        self.ended.put(self.handling.id)


class Shop:
    """A topic ``orders``, and a handler of its messages."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._topic = f"{service.project}/topics/orders"
        self._seen: set[str] = set()
        self.fails = True
        """Whether a bad message fails at its first delivery; at the next it never does."""
        self._now = OwnTime()
        self._good: set[str] = set()
        self._published_at: dict[str, float] = {}
        self._handled_at: dict[str, float] = {}
        self._received_elsewhere_at: dict[str, float] = {}
        self.received_elsewhere = Inbox()
        """The ids of the messages that the consumer had to which none is bad."""

    def handle(self, data: Any, **attributes: Any) -> None:
        message_id = Observer.handling.id
        if data == GOOD:
            self._handled_at.setdefault(message_id, self._now())
        elif self.fails and message_id not in self._seen:
            self._seen.add(message_id)
            raise ValueError("no order")

    def publish(self, content: Poison) -> str:
        """Publish a message, which Google's client might refuse, and return its id."""
        fields = {
            "data": content.data,
            "attributes": content.attributes,
            "ordering_key": content.ordering_key,
        }
        [message_id] = self._service.publish(self._topic, fields)
        return message_id

    def publish_good(self) -> str:
        """Publish a message that can be handled, and return its id."""
        now = self._now()
        message_id = self.publish(Poison(json.dumps(GOOD).encode()))
        self._published_at[message_id] = now
        self._good.add(message_id)
        return message_id

    @property
    def good(self) -> set[str]:
        """The ids of the good messages."""
        return self._good

    @contextmanager
    def receiving_elsewhere(self) -> Iterator[None]:
        """Within the block, note when a consumer that acknowledges everything gets each message.

        It is one of the same server, process and moment: what slows the machine slows both.
        """
        path = self._service.subscription(self._topic, "elsewhere")
        with make_client(pubsub_v1.SubscriberClient) as client:
            future = client.subscribe(path, callback=self._receive_elsewhere)
            try:
                yield
            finally:
                future.cancel()
                future.result(timeout=30)

    def _receive_elsewhere(self, message: GoogleMessage) -> None:
        self._received_elsewhere_at.setdefault(message.message_id, self._now())
        message.ack()
        self.received_elsewhere.put(message.message_id)

    def late(self) -> dict[str, float]:
        """The seconds by which good messages were later than elsewhere, if more than ``SOON``.

        Where the other consumer, too, has waited for long, the machine is as busy.
        """
        late = {}
        for message_id in self._good:
            elsewhere_at = self._received_elsewhere_at[message_id]
            seconds = self._handled_at[message_id] - elsewhere_at
            if seconds > SOON + BUSY * max(elsewhere_at - self._published_at[message_id], 0):
                late[message_id] = seconds
        return late

    def unacknowledged(self) -> list[bytes]:
        """The messages that are not acknowledged, leased ones too: a snapshot has just those.

        Google's emulator replays it in the subscription that it was made of, our server any
        message that is leased in another one only.
        """
        snapshot = f"{self._service.project}/snapshots/orders"
        source = f"{self._service.project}/subscriptions/orders"
        self._service.call("CreateSnapshot", name=snapshot, subscription=source)
        received = []
        for subscription in (source, self._service.subscription(self._topic, "copy")):
            self._service.call("Seek", subscription=subscription, snapshot=snapshot)
            received += self._service.pull_now(subscription)
        return [each.message.data[:80] for each in received]


@pytest.fixture
def shop(pubsub: str, project_id: str) -> Iterator[Shop]:
    with grpc.insecure_channel(pubsub) as channel:
        yield Shop(Service(pubsub, channel, project_id))


@contextmanager
def consuming(shop: Shop, project_id: str, names: tuple[str, ...]) -> Iterator[None]:
    """Within the block, a worker with these middlewares handles the shop's messages."""
    config = set_up(names, f"{__name__}.Observer", GC_PROJECT_ID=project_id)
    subscription = Subscription(shop.handle, "orders", retry_policy=RetryPolicy(0.1, 0.1))
    worker = make_worker([subscription], config, times=TIMES)
    worker.setup()
    with shop.receiving_elsewhere():
        worker.start()
        try:
            yield
        finally:
            stop(worker)


def contains(item: str, items: list[str]) -> bool:
    return item in items


@dataclass
class Published:
    """The bad messages that were published: the ids of both kinds."""

    undecodable: set[str] = field(default_factory=set)
    decodable: set[str] = field(default_factory=set)


def publish_and_check(
    shop: Shop, project_id: str, names: tuple[str, ...], publish: Callable[[], Published]
) -> None:
    """Let ``publish`` send good and bad messages, then send a good one: each ends as it has to."""
    with reading_logs() as logs, consuming(shop, project_id, names):
        bad = publish()
        failed = bad.undecodable | (bad.decodable if shop.fails else set())
        Observer.failed.wait_for(len(failed))
        Observer.succeeded.wait_for(len(bad.decodable | shop.good))
        last = shop.publish_good()
        Observer.succeeded.wait_until(partial(contains, last))
        shop.received_elsewhere.wait_until(shop.good.issubset)

    assert shop.late() == {}
    assert sorted(Observer.failed.items) == sorted(failed)
    assert sorted(Observer.succeeded.items) == sorted(bad.decodable | shop.good)
    assert shop.unacknowledged() == []
    errors = logs.texts_of("ERROR")
    assert [
        each for each in bad.undecodable if not any(f" {each} " in error for error in errors)
    ] == []
    assert logs.texts_of("WARNING", "rele.engine") == []


@pytest.mark.parametrize(
    "names",
    [
        each if each in ("none", "all") else pytest.param(each, marks=pytest.mark.slow)
        for each in SETS
    ],
)
def test_each_is_settled_once_and_good_ones_are_handled_in_time(
    names: str, shop: Shop, project_id: str
) -> None:
    def publish() -> Published:
        published = Published()
        for name, content in poison.CORPUS.items():
            if name in poison.REFUSED_BY_SERVERS:
                continue
            is_lost = name in poison.UNDECODABLE
            kind = published.undecodable if is_lost else published.decodable
            kind.add(shop.publish(content))
            shop.publish_good()
            if len(shop.good) % AT_A_TIME == 0:
                Observer.succeeded.wait_until(shop.good.issubset)
        return published

    publish_and_check(shop, project_id, SETS[names], publish)


@pytest.mark.parametrize(
    "names",
    [each if each == "all" else pytest.param(each, marks=pytest.mark.slow) for each in SETS],
)
def test_after_a_large_one_too(names: str, shop: Shop, project_id: str) -> None:
    def publish_one_by_one(contents: dict[str, Poison]) -> set[str]:
        ids = set()
        for content in contents.values():
            ids.add(message_id := shop.publish(content))
            Observer.ended.wait_until(partial(contains, message_id))
            shop.publish_good()
            # Beside the next large one it would have to wait, and longer on a busy machine.
            Observer.succeeded.wait_until(shop.good.issubset)
        return ids

    # Delivered again, it would be on its way before the good one: megabytes take their time.
    shop.fails = False

    publish_and_check(
        shop,
        project_id,
        SETS[names],
        lambda: Published(
            publish_one_by_one(poison.large_undecodable()),
            publish_one_by_one(poison.large_decodable()),
        ),
    )
