from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

import rele
from rele.contrib.outbox import upkeep
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.relay import OutboxRelay, Tally
from rele.contrib.outbox.relaying.times import RelayTimes
from tests.support.outbox import ALIAS, REFUSED, FakePubSub, InThread, waiting
from tests.support.polling import wait_until


@pytest.fixture
def messages(database: str) -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.using(ALIAS)


def test_what_is_tried_again_is_as_new(
    messages: QuerySet[OutboxMessage], servers: FakePubSub, make_relay: Callable[..., OutboxRelay]
) -> None:
    rele.publish_many("orders", [1, 2])
    servers.errors = {"1": REFUSED}
    make_relay(max_attempts=1).run_once()
    assert {row.state for row in waiting()} == {State.PARKED}
    servers.errors.clear()

    assert upkeep.retry(messages) == 2

    assert {(row.state, row.attempts) for row in waiting()} == {(State.WAITING, 0)}
    assert make_relay().run_once() == Tally(2, 0)


def test_what_is_sent_is_not_tried_again(messages: QuerySet[OutboxMessage]) -> None:
    rele.publish("orders", 1)
    messages.update(state=State.SENT)

    assert upkeep.retry(messages) == 0


def test_what_was_never_refused_is_left_as_it_is(messages: QuerySet[OutboxMessage]) -> None:
    rele.publish("orders", 1)
    messages.update(next_attempt_at=timezone.now() + timedelta(hours=1))
    before = waiting()

    assert upkeep.retry(messages) == 0

    assert waiting()[0].next_attempt_at == before[0].next_attempt_at


@pytest.mark.parametrize("state", [State.DELAYED, State.PARKED])
def test_what_pub_sub_refused_waits_again(messages: QuerySet[OutboxMessage], state: State) -> None:
    rele.publish("orders", 1)
    messages.update(state=state, attempts=3, next_attempt_at=timezone.now() + timedelta(hours=1))
    noted: list[OutboxMessage] = []

    assert upkeep.retry(messages, noted.extend) == 1

    [row] = waiting()
    assert (row.state, row.attempts) == (State.WAITING, 0)
    assert row.next_attempt_at <= timezone.now()
    assert [(each.state, each.attempts) for each in noted] == [(state, 3)]


def test_what_waits_is_tried_at_once(
    messages: QuerySet[OutboxMessage], servers: FakePubSub, make_relay: Callable[..., OutboxRelay]
) -> None:
    rele.publish("orders", 1)
    servers.errors["1"] = REFUSED
    make_relay().run_once()
    servers.errors.clear()

    assert upkeep.retry(messages) == 1

    assert make_relay().run_once() == Tally(1, 0)


def test_the_key_of_a_discarded_message_goes_on_at_once(
    messages: QuerySet[OutboxMessage], servers: FakePubSub, make_relay: Callable[..., OutboxRelay]
) -> None:
    rele.publish_many("orders", [(number, {"ordering_key": "a"}) for number in (1, 2)])
    servers.errors["1"] = REFUSED
    make_relay().run_once()
    make_relay().run_once()  # has put the second off until the first is due
    servers.errors.clear()

    assert upkeep.discard(messages.filter(data=b"1")) == 1

    assert make_relay().run_once() == Tally(1, 0)
    assert servers.data == ["2"]


@pytest.mark.parametrize(("change", "sent"), [(upkeep.retry, ["1", "2"]), (upkeep.discard, ["2"])])
def test_a_running_relay_goes_on_with_the_key_of_what_was_delayed_for_long(
    messages: QuerySet[OutboxMessage],
    servers: FakePubSub,
    change: Callable[[QuerySet[OutboxMessage]], int],
    sent: list[str],
) -> None:
    rele.publish_many("orders", [(number, {"ordering_key": "a"}) for number in (1, 2)])
    servers.errors["1"] = REFUSED
    times = RelayTimes(first_pause=600)
    relay = OutboxRelay(ALIAS, OutboxSettings(), servers, times=times)
    thread = InThread(relay.run)
    try:
        wait_until(lambda: messages.filter(state=State.DELAYED).exists(), 20)
        servers.errors.clear()

        assert change(messages.filter(data=b"1")) == 1

        wait_until(lambda: not messages.exists(), 20)
        assert servers.data == sent
    finally:
        relay.stop()
        thread.join()


def test_deletes_in_chunks(
    messages: QuerySet[OutboxMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "CHUNK", 2)
    rele.publish_many("orders", range(5))

    assert list(upkeep.purge(messages)) == [2, 2, 1]

    assert waiting() == []


@pytest.mark.usefixtures("postgres")
def test_what_another_transaction_has_locked_is_left_alone() -> None:
    rele.publish_many("orders", [1, 2])
    messages = OutboxMessage.objects.using(ALIAS)
    counts: list[int] = []

    def look_after() -> None:
        counts.append(upkeep.retry(messages.all()))
        counts.append(upkeep.discard(messages.all()))
        counts.append(sum(upkeep.purge(messages.all())))

    messages.update(state=State.DELAYED)
    with transaction.atomic(using=ALIAS):
        assert messages.select_for_update().first() is not None
        InThread(look_after).join()

    assert counts == [1, 1, 0]
    assert [bytes(row.data) for row in waiting()] == [b"1"]
