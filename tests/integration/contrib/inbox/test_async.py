"""Idempotent async handlers on real databases: their transaction is that of their ORM calls."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

import rele
from rele.contrib.inbox import idempotent
from rele.contrib.inbox.models import InboxMessage
from rele.handling.callback import Callback
from rele.handling.current import Handling
from rele.middleware import BaseMiddleware
from rele.subscription import Subscription
from testproject.activity.models import Activity
from tests.support.deliveries import Delivery

numbers = itertools.count(1)

threads: list[threading.Thread] = []


class Duplicates(BaseMiddleware):
    """Notes the messages for whose duplicates the hook ran."""

    seen: list[str] = []  # noqa: RUF012 - one for all instances

    async def post_process_message_duplicate(self, subscription: Any, message: Any) -> None:  # type: ignore[override]
        self.seen.append(message.attributes["event_id"])


@pytest.fixture(autouse=True)
def duplicates() -> list[str]:
    rele.setup({"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware", f"{__name__}.Duplicates"]})
    Duplicates.seen = []
    threads.clear()
    return Duplicates.seen


def run_in_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    threads.append(thread)
    thread.start()


def texts(alias: str) -> list[str]:
    return sorted(Activity.objects.using(alias).values_list("text", flat=True))


def handled(alias: str) -> list[str]:
    return sorted(InboxMessage.objects.using(alias).values_list("event_id", flat=True))


async def nothing() -> None: ...


def writer(alias: str, then: Callable[[], Awaitable[Any]] = nothing) -> Callback:
    """Handles messages by an idempotent handler that writes the payload, and then awaits."""

    @idempotent(using=alias)
    async def handler(data: str, **attributes: Any) -> Any:
        await Activity.objects.using(alias).acreate(photo=next(numbers), text=data)
        return await then()

    return Callback(Subscription(handler, "orders"))


async def send(callback: Callback, text: str, event_id: str) -> Handling:
    delivery = Delivery(json.dumps(text).encode(), {"event_id": event_id})
    return await callback.handle_async(delivery.message, run_in_thread)


def test_each_event_is_handled_once(alias: str, duplicates: list[str]) -> None:
    async def main() -> tuple[Handling, Handling]:
        return await send(orders, "one", "a"), await send(orders, "again", "a")

    orders = writer(alias)

    first, again = asyncio.run(main())

    assert (first.message.settled_as, first.skipped) == ("ack", None)
    assert (again.message.settled_as, again.skipped) == ("ack", "duplicate")
    assert texts(alias) == ["one"]
    assert duplicates == ["a"]


def test_a_failure_rolls_back_what_it_wrote_and_the_record(alias: str) -> None:
    async def fail() -> None:
        raise ValueError("no")

    handling = asyncio.run(send(writer(alias, fail), "one", "a"))

    assert handling.message.settled_as == "nack"
    assert (texts(alias), handled(alias)) == ([], [])


def test_a_cancelled_handler_leaves_no_transaction_open(alias: str) -> None:
    async def main() -> Handling:
        waits = asyncio.Event()

        async def wait() -> None:
            waits.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(send(writer(alias, wait), "one", "a"))
        await waits.wait()
        task.cancel()
        return await task

    handling = asyncio.run(main())

    assert handling.message.settled_as == "nack"
    assert (texts(alias), handled(alias)) == ([], [])
    assert asyncio.run(send(writer(alias), "two", "a")).message.settled_as == "ack"
    assert texts(alias) == ["two"]


def test_all_of_a_message_runs_in_one_thread_whose_connections_are_closed(alias: str) -> None:
    users: list[threading.Thread] = []
    wrappers: list[Any] = []

    def note() -> None:
        users.append(threading.current_thread())
        wrappers.append(connections[alias])
        assert connections[alias].connection is not None

    async def main() -> list[Handling]:
        return [await send(writer(alias, sync_to_async(note)), each, each) for each in "ab"]

    handlings = asyncio.run(main())

    assert [each.message.settled_as for each in handlings] == ["ack", "ack"]
    assert users == threads
    assert len({*threads}) == 2
    assert [wrapper.connection for wrapper in wrappers] == [None, None]


def test_a_message_without_orm_calls_needs_no_thread() -> None:
    async def handle(data: Any, **attributes: Any) -> None:
        await asyncio.sleep(0)

    handling = asyncio.run(send(Callback(Subscription(handle, "orders")), "one", "a"))

    assert handling.message.settled_as == "ack"
    assert threads == []
