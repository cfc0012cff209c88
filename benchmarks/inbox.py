"""What the inbox adds to a handler's transaction: ``python -m benchmarks.inbox``.

The handler writes one row to a PostgreSQL on this machine. It is run with and without
``@idempotent``, in turn, with a message of its own each time. The figures are medians, as the rows
of a Markdown table.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from statistics import median
from typing import Any
from uuid import uuid4

import django
import environ
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import PubsubMessage

from rele import Subscription
from rele.engine.base import as_message
from rele.handling.current import Handling
from tests.support import postgres

WARM_UP, MESSAGES = 500, 5_000

SERVERS = {"fsync off": False, "fsync on": True}

_numbers = count(1)


def main() -> None:
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(postgres.started(fsync=fsync))
            for name, fsync in SERVERS.items()
        }
        databases = {name: environ.Env.db_url_config(url) for name, url in urls.items()}
        settings.configure(
            DATABASES={"default": {}, **databases},
            INSTALLED_APPS=["rele.contrib.inbox", "testproject.activity"],
            USE_TZ=True,
        )
        django.setup()
        print("| PostgreSQL | with the inbox | without | ratio |\n| --- | --- | --- | --- |")
        for alias in SERVERS:
            call_command("migrate", database=alias, verbosity=0)
            with_inbox, without = _medians(alias)
            print(
                f"| {alias} | {with_inbox * 1e6:.0f} µs | {without * 1e6:.0f} µs "
                f"| {with_inbox / without:.2f} |"
            )


def _medians(alias: str) -> list[float]:
    """Seconds of a transaction with the inbox, and without."""
    from rele.contrib.inbox import idempotent

    handlers = [
        idempotent(using=alias)(_writer(alias)),
        transaction.atomic(using=alias)(_writer(alias)),
    ]
    subscriptions = [Subscription(handler, "orders") for handler in handlers]
    times: list[list[float]] = [[] for _ in subscriptions]
    for _ in range(WARM_UP + MESSAGES):
        for subscription, column in zip(subscriptions, times, strict=True):
            column.append(_seconds_of_a_message(subscription))
    return [median(column[WARM_UP:]) for column in times]


def _writer(alias: str) -> Callable[..., Any]:
    from testproject.activity.models import Activity

    def write(data: str, **attributes: Any) -> None:
        Activity.objects.using(alias).create(photo=next(_numbers), text=data)

    return write


def _seconds_of_a_message(subscription: Subscription) -> float:
    content = PubsubMessage(message_id="1", attributes={"event_id": str(uuid4())})
    message = Message(PubsubMessage.pb(content), "ack", 0, None)
    with Handling(as_message(message), subscription):
        start = time.perf_counter()
        subscription("paid")
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
