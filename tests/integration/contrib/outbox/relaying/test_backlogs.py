"""What waits, and waits for its next attempt, delays nothing else: on a table with many rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import rele
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.relay import OutboxRelay
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread
from tests.support.outbox_rows import insert, plan_of, recorded
from tests.support.polling import wait_until

pytestmark = pytest.mark.usefixtures("postgres")

MakeRelay = Callable[..., OutboxRelay]

MANY = pytest.mark.parametrize(
    "many", [50_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)


def is_delayed() -> bool:
    return OutboxMessage.objects.using(ALIAS).filter(state=State.DELAYED).exists()


def seconds_until_sent(servers: FakePubSub, data: str) -> float:
    began = time.monotonic()
    rele.publish("photos", data)
    while f'"{data}"' not in servers.data:
        assert time.monotonic() - began < 20
        time.sleep(0.005)  # the fake notifies nobody
    return time.monotonic() - began


@MANY
def test_what_waits_behind_a_refused_message_delays_no_other_topic_and_no_stop(
    make_relay: MakeRelay, servers: FakePubSub, many: int
) -> None:
    servers.errors['"bad"'] = REFUSED
    rele.publish("orders", "bad", ordering_key="a")
    insert(many, key="a")
    relay = make_relay()
    with recorded() as statements:
        thread = InThread(relay.run)
        try:
            wait_until(is_delayed, 60)
            waits = [seconds_until_sent(servers, str(number)) for number in range(10)]
            statements.all.clear()
            began = time.monotonic()
            while time.monotonic() - began < 1.5:  # nothing happens, and nothing notifies of that
                time.sleep(0.1)
            idle = len(statements.all)
            looks = statements.of("SELECT")
            began = time.monotonic()
        finally:
            relay.stop()
            thread.join(60)
        stopped_after = time.monotonic() - began

    assert max(waits) < 1
    assert stopped_after < 2
    assert idle < 100
    assert set(servers.data) == {f'"{number}"' for number in range(10)}
    plans = [plan_of(*look) for look in looks]
    assert ("Seq Scan", "") not in [node for plan in plans for node in plan if len(plan) > 1]


@MANY
@pytest.mark.parametrize("state", [State.SENT, State.PARKED, State.SCHEDULED])
def test_a_look_reads_no_row_that_does_not_wait(
    make_relay: MakeRelay, servers: FakePubSub, many: int, state: State
) -> None:
    insert(many, state=state)
    insert(many // 20)  # so many that PostgreSQL expects to meet one soon by the primary key
    if state == State.SCHEDULED:
        OutboxMessage.objects.using(ALIAS).filter(state=state).update(
            next_attempt_at="2099-01-01T00:00Z"
        )
    with recorded() as statements:
        thread = InThread(make_relay().run_once)
        thread.join(60)

    assert len(servers.data) == many // 20
    looks = [
        each for each in statements.of("SELECT") if "LENGTH" in each[0] and '"id" > ' in each[0]
    ]
    assert plan_of(*looks[0]) == [("Index Scan", "rele_outbox_waiting")]


def test_a_backlog_of_many_keys_is_sent_in_large_requests(
    make_relay: MakeRelay, servers: FakePubSub
) -> None:
    for number in range(20):
        insert(500, key=f"customer-{number}")

    assert make_relay().run_once().sent == 10_000

    sizes: Any = [len(request) for request in servers.requests]
    assert sum(sizes) / len(sizes) > 400
