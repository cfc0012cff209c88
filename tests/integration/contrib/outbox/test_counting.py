"""What people see of an outbox of a million messages, and what it costs PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import rele
from rele.contrib.outbox import counting
from rele.contrib.outbox.contents import as_json, contents_of, messages_of
from rele.contrib.outbox.counting import COUNTED, Count, counts_of
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.promoting import promote
from tests.support.outbox import ALIAS
from tests.support.plans import fill, rows_read

MILLION = 1_000_000


def by_topic(counts: list[Count]) -> list[tuple[State, str, int]]:
    return [(group.state, group.topic, group.count) for count in counts for group in count.groups]


def test_counts_by_state_and_topic(database: str) -> None:
    messages = messages_of(ALIAS)
    rele.publish_many("orders", [1, 2, 3])
    rele.publish("photos", 4)
    messages.filter(data=b"3").update(state=State.PARKED)
    long_ago = timezone.now() - timedelta(days=1)
    messages.filter(data=b"2").update(created_at=long_ago)

    counts = counts_of(messages)

    assert by_topic(counts) == [
        (State.WAITING, "orders", 2),
        (State.WAITING, "photos", 1),
        (State.PARKED, "orders", 1),
    ]
    assert counts[0].groups[0].oldest == long_ago
    assert [count.is_complete for count in counts] == [True, True]
    assert by_topic(counts_of(messages_of(ALIAS, "photos"))) == [(State.WAITING, "photos", 1)]


def test_one_that_was_scheduled_long_ago_is_as_old_as_its_due_time(database: str) -> None:
    now = DatabaseClock(ALIAS).now()
    due = (now - timedelta(seconds=1)).replace(microsecond=0)
    rele.publish_later("orders", 1, when=due)
    long_ago = timezone.now() - timedelta(days=30)
    messages_of(ALIAS).update(created_at=long_ago)

    assert promote(ALIAS, now)

    contents = contents_of(ALIAS)
    assert contents.oldest_waiting == due
    [lag] = as_json([contents], due + timedelta(seconds=2))["lag"]
    assert lag["seconds"] == pytest.approx(2)


def sizes(*states: State) -> pytest.MarkDecorator:
    """Run with a backlog of a million, and with one that is made in a moment."""
    few = [pytest.param((state, MILLION // 50, COUNTED // 50)) for state in states]
    many = [pytest.param((state, MILLION, COUNTED), marks=pytest.mark.slow) for state in states]
    return pytest.mark.parametrize("backlog", [*few, *many], indirect=True, ids=str)


@dataclass(frozen=True)
class Backlog:
    """Many messages in one state."""

    state: State
    size: int
    counted: int


@pytest.fixture
def backlog(
    postgres: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backlog]:
    made = Backlog(*request.param)
    monkeypatch.setattr(counting, "COUNTED", made.counted)
    with connections[ALIAS].cursor() as cursor:
        fill(cursor, made.state, made.size)
        yield made
        cursor.execute("TRUNCATE rele_outbox_outboxmessage")


@sizes(State.WAITING, State.SENT, State.PARKED)
def test_a_look_reads_no_more_than_it_counts(backlog: Backlog) -> None:
    with CaptureQueriesContext(connections[ALIAS]) as queries:
        began = time.monotonic()
        contents = contents_of(ALIAS)
        list(contents.parked[:20])
        took = time.monotonic() - began

    [count] = contents.counts
    assert count.state == backlog.state
    assert sum(group.count for group in count.groups) == backlog.counted + 1
    assert not count.is_complete
    assert count.estimate == pytest.approx(backlog.size, rel=0.05)
    assert took < 5, "on a quiet machine it takes 0.2 s"
    assert rows_read(ALIAS, queries) <= backlog.counted + 100


@sizes(State.WAITING)
def test_the_oldest_waiting_one_is_found_among_many(backlog: Backlog) -> None:
    first = OutboxMessage.objects.using(ALIAS).earliest("id")

    assert contents_of(ALIAS).oldest_waiting == first.created_at
