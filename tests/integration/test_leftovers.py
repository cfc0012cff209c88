"""What a handler leaves behind in its thread, in a worker under Django and under Flask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone, translation
from flask import Flask, g

import rele
from rele.middleware import register_middleware
from rele.subscription import Subscription
from tests.support.inbox import Inbox

pytestmark = pytest.mark.both_engines

Run = Callable[..., Any]

tenant: ContextVar[str] = ContextVar("tenant", default="none")


@pytest.mark.django_db(transaction=True)
def test_under_django_the_next_message_of_a_thread_finds_nothing(
    run_worker: Run, settings: Any
) -> None:
    settings.DEBUG = True
    inbox = Inbox()

    def handle(data: str, **attributes: Any) -> None:
        found = (
            translation.get_language(),
            timezone.get_current_timezone_name(),
            tenant.get(),
            len(connection.queries),
        )
        translation.activate("de")
        timezone.activate("Asia/Tokyo")
        tenant.set(data)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        inbox.put((threading.get_ident(), found))

    run_worker(
        [Subscription(handle, "orders", threads=1)],
        MIDDLEWARE=["rele.contrib.DjangoDBMiddleware"],
    )

    for shop in ("one", "two", "three"):
        rele.publish("orders", shop)

    expected = (settings.LANGUAGE_CODE, settings.TIME_ZONE, "none", 0)
    assert [found for _, found in inbox.wait_for(3)] == [expected] * 3
    assert len({thread for thread, _ in inbox.items}) < 3  # or nothing was proved


def test_under_flask_the_next_message_of_a_thread_finds_nothing(run_worker: Run) -> None:
    inbox = Inbox()

    def handle(data: str, **attributes: Any) -> None:
        inbox.put((threading.get_ident(), tenant.get(), g.get("tenant")))
        tenant.set(data)
        g.tenant = data

    run_worker([Subscription(handle, "orders", threads=1)])
    middleware = SimpleNamespace(middleware=["rele.contrib.FlaskMiddleware"])
    register_middleware(middleware, flask_app=Flask("shop"))

    for shop in ("one", "two", "three"):
        rele.publish("orders", shop)

    assert [found for _, *found in inbox.wait_for(3)] == [["none", None]] * 3
    assert len({thread for thread, *_ in inbox.items}) < 3
