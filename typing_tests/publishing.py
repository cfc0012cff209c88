"""What type checkers see of publishing. Nothing here is run."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime, timedelta, timezone

from typing_extensions import assert_type

import rele


def a_publish_returns_a_future_of_the_message_id() -> None:
    assert_type(rele.publish("order-paid", {"id": 42}), Future[str])
    assert_type(rele.publish(topic="order-paid", data=None, country="ES"), Future[str])
    assert_type(
        rele.publish(
            "order-paid",
            [1, "two"],
            blocking=True,
            timeout=5,
            raise_exception=False,
            ordering_key="customer-7",
        ),
        Future[str],
    )
    rele.publish("order-paid", 1, blocking=None, timeout=None)


def several_return_one_each() -> None:
    messages = [{"id": 42}, ({"id": 43}, {"country": "ES"})]

    assert_type(rele.publish_many("order-paid", messages), list[Future[str]])
    assert_type(
        rele.publish_many(
            "order-paid", iter(messages), blocking=True, timeout=1.5, raise_exception=True
        ),
        list[Future[str]],
    )


def flushing_tells_whether_all_is_accepted() -> None:
    assert_type(rele.flush(), bool)
    assert_type(rele.flush(timeout=1.5), bool)


async def awaiting_returns_the_same_as_blocking() -> None:
    assert_type(await rele.apublish("order-paid", {"id": 42}, country="ES"), Future[str])
    assert_type(
        await rele.apublish("order-paid", 1, timeout=5, raise_exception=False, ordering_key="7"),
        Future[str],
    )
    assert_type(
        await rele.apublish_many("order-paid", [1, ({"id": 2}, {"country": "ES"})], timeout=1.5),
        list[Future[str]],
    )
    await rele.apublish("order-paid", 1, blocking=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await rele.apublish_many("order-paid", [1], country="ES")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def what_is_sent_later_can_be_cancelled() -> None:
    scheduled = rele.publish_later("order-paid", {"id": 42}, when=timedelta(hours=1), country="ES")
    assert_type(scheduled, rele.ScheduledMessage)
    assert_type(scheduled.event_id, str)
    assert_type(scheduled.cancel(), bool)
    assert_type(rele.cancel_scheduled(scheduled.event_id), bool)
    rele.publish_later("order-paid", 1, when=datetime.now(timezone.utc), ordering_key="customer-7")

    assert_type(
        await rele.apublish_later("order-paid", 1, when=timedelta(1)), rele.ScheduledMessage
    )
    assert_type(await scheduled.acancel(), bool)
    assert_type(await rele.acancel_scheduled("id"), bool)


def a_time_is_needed_for_what_is_sent_later() -> None:
    rele.publish_later("order-paid", 1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    rele.publish_later("order-paid", 1, when=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.publish_later("order-paid", 1, when=timedelta(1), count=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.cancel_scheduled(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def what_is_of_another_kind_is_refused() -> None:
    rele.publish("order-paid", 1, blocking="yes")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.publish("order-paid", 1, timeout="5")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.publish("order-paid", 1, count=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.publish_many("order-paid", 1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    rele.publish_many("order-paid", [1], country="ES")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
