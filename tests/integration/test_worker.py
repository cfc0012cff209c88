"""A worker and a publisher on a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync

import rele
from rele import Batch
from rele.client import Subscriber
from rele.retry_policy import RetryPolicy
from rele.subscription import Subscription, sub
from tests.support.inbox import Inbox

pytestmark = pytest.mark.both_engines(slow="google")

Run = Callable[..., Any]


def test_a_published_message_reaches_the_handler_with_its_attributes(run_worker: Run) -> None:
    inbox = Inbox()
    run_worker([Subscription(lambda data, **attrs: inbox.put((data, attrs)), "greetings")])

    rele.publish("greetings", {"hello": "wörld"}, lang="de")

    [(data, attributes)] = inbox.wait_for(1)
    assert data == {"hello": "wörld"}
    assert attributes["lang"] == "de"
    assert isinstance(attributes["published_at"], float)


def test_payloads_are_decoded_as_the_project_and_the_subscription_say(run_worker: Run) -> None:
    inbox, raw = Inbox(), Inbox()
    run_worker(
        [
            Subscription(lambda data, **attrs: inbox.put(data), "prices"),
            Subscription(lambda data, **attrs: raw.put(data), "prices", suffix="2", codec="bytes"),
        ],
        DECODER_PATH=f"{__name__}.ExactDecoder",
    )

    rele.publish("prices", 1.5)

    assert inbox.wait_for(1) == [Decimal("1.5")]
    assert isinstance(inbox.items[0], Decimal)
    assert raw.wait_for(1) == [b"1.5"]


def test_a_handler_of_batches_gets_lists(run_worker: Run, engine: str) -> None:
    batches = Inbox()
    subscription = Subscription(
        lambda messages: batches.put([each.data for each in messages]),
        "orders",
        batch=Batch(max_messages=5, max_wait=2),
    )
    run_worker([subscription])

    rele.publish_many("orders", range(10))

    handled = batches.wait_until(lambda lists: sum(map(len, lists)) >= 10)
    assert sorted(number for numbers in handled for number in numbers) == list(range(10))
    assert max(map(len, handled)) == (5 if engine == "rele" else 1)


class ExactDecoder(json.JSONDecoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "parse_float": Decimal})


def test_a_failed_message_is_redelivered(run_worker: Run) -> None:
    inbox = Inbox()

    def fail_once(data: Any, **attrs: Any) -> None:
        inbox.put(data)
        if len(inbox.items) == 1:
            raise ValueError("not today")

    run_worker([Subscription(fail_once, "orders", retry_policy=RetryPolicy(1, 2))])

    rele.publish("orders", 1)

    assert inbox.wait_for(2) == [1, 1]


def test_a_coroutine_is_handled_where_it_is_run_and_redelivered_where_it_is_not(
    run_worker: Run,
) -> None:
    handled, returned = Inbox(), Inbox()

    async def handle(data: Any, **attrs: Any) -> None:
        await asyncio.sleep(0)
        handled.put(data)

    def pass_on(data: Any, **attrs: Any) -> Any:
        returned.put(data)
        return handle(data, **attrs)

    run_worker(
        [
            sub("orders")(async_to_sync(handle)),
            Subscription(pass_on, "orders", suffix="wrong", retry_policy=RetryPolicy(1, 2)),
        ]
    )

    rele.publish("orders", 1)

    assert returned.wait_for(2) == [1, 1]
    assert handled.wait_for(1) == [1]


def test_failing_messages_do_not_hold_up_good_ones(run_worker: Run) -> None:
    good, bad = Inbox(), Inbox()

    def handle(data: Any, **attrs: Any) -> None:
        if data < 0:
            bad.put(data)
            raise ValueError("never")
        good.put(data)

    run_worker([Subscription(handle, "mixed", retry_policy=RetryPolicy(1, 1))])
    for _ in range(1000):
        rele.publish("mixed", -1)
    assert rele.publishing.flush(10)
    bad.wait_for(1000)

    for number in range(100):
        rele.publish("mixed", number)

    assert sorted(good.wait_for(100, seconds=10)) == list(range(100))


def test_the_created_subscription_has_a_retry_policy(run_worker: Run, project_id: str) -> None:
    stated = Subscription(print, "stated", retry_policy=RetryPolicy(2, 20))
    silent = Subscription(print, "silent")
    worker = run_worker([stated, silent])

    policies = {
        name: worker._subscriber._client.get_subscription(
            request={"subscription": f"projects/{project_id}/subscriptions/{name}"}
        ).retry_policy
        for name in ("stated", "silent")
    }

    assert policies["stated"].minimum_backoff.total_seconds() == 2
    assert policies["stated"].maximum_backoff.total_seconds() == 20
    assert policies["silent"].minimum_backoff.total_seconds() == 10
    assert policies["silent"].maximum_backoff.total_seconds() == 600


def test_a_deleted_subscription_is_recreated(
    run_worker: Run, project_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    worker = run_worker([Subscription(lambda data, **attrs: inbox.put(data), "fragile")])
    rele.publish("fragile", "before")
    inbox.wait_for(1)

    client = worker._subscriber._client
    path = f"projects/{project_id}/subscriptions/fragile"
    client.delete_subscription(request={"subscription": path})

    def is_handled() -> bool:
        rele.publish("fragile", "after", blocking=True)
        try:
            inbox.wait_until(lambda items: "after" in items, seconds=0.5)
        except AssertionError:
            return False
        return True

    assert any(is_handled() for _ in range(20))
    assert "had been deleted and was created again" in caplog.text
    assert "is interrupted" not in caplog.text


def test_without_a_retry_policy_a_failed_message_is_delayed(
    run_worker: Run,
    configure: Callable[..., Any],
    project_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = configure()
    subscriber = Subscriber(config.gc_project_id, None, None, None)
    attempts = Inbox()

    def fail(data: Any, **attrs: Any) -> None:
        attempts.put(time.monotonic())
        raise ValueError("always")

    subscription = Subscription(fail, "unpaced")
    subscriber.update_or_create_subscription(subscription)
    subscriber.close()

    run_worker([subscription])
    rele.publish("unpaced", 1)

    first, second = attempts.wait_for(2, seconds=30)[:2]
    assert second - first >= 9
    assert caplog.text.count("has no retry policy") == 1
