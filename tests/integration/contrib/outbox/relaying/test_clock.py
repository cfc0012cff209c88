"""The time by the database's clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import is_naive

from rele.contrib.outbox.models import Relay
from rele.contrib.outbox.relaying.clock import DatabaseClock
from tests.support.outbox import ALIAS

CLOSE = timedelta(seconds=2)


class Monotonic:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def queries(shared: str) -> Any:
    with CaptureQueriesContext(connections[ALIAS]) as captured:
        yield captured


def test_is_the_time_of_the_server(database: str) -> None:
    assert abs(DatabaseClock(ALIAS).now() - datetime.now(timezone.utc)) < CLOSE


def test_asks_once_a_minute_and_counts_on_in_between(queries: Any) -> None:
    monotonic = Monotonic()
    clock = DatabaseClock(ALIAS, monotonic)
    first = clock.now()
    monotonic.now += 59

    assert clock.now() == first + timedelta(seconds=59)
    assert len(queries) == 1

    monotonic.now += 1
    assert abs(clock.now() - first) < CLOSE, "asked again: the server's clock has not moved"
    assert len(queries) == 2


def test_asks_another_server_after_a_new_connection(queries: Any) -> None:
    clock = DatabaseClock(ALIAS, Monotonic())
    clock.now()
    clock.forget()
    clock.now()

    assert len(queries) == 2


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_without_time_zones_it_is_what_the_tables_have(
    database: str, settings: Any, zone: str
) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    now = DatabaseClock(ALIAS).now()

    assert is_naive(now)
    assert abs(now - datetime.now()) < CLOSE
    row = Relay.objects.using(ALIAS).create(name="other:1", seen_at=now)
    row.refresh_from_db()
    assert row.seen_at == now


def test_a_slow_answer_is_asked_for_again(queries: Any) -> None:
    """A process may be suspended in the middle of a query."""
    times = iter([0.0, 40.0, 40.0, 40.1, 40.1])
    clock = DatabaseClock(ALIAS, lambda: next(times))

    assert abs(clock.now() - datetime.now(timezone.utc)) < CLOSE
    assert len(queries) == 2
