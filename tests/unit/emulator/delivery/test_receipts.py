"""Messages that were under way when their stream ended."""

from __future__ import annotations

from collections.abc import Callable

from rele.emulator.delivery.backlog import Backlog
from rele.emulator.delivery.backoff import Backoff
from rele.emulator.delivery.receipts import GRACE_SECONDS
from tests.unit.emulator.conftest import ACK_DEADLINE, Clock, Reader

Publish = Callable[..., list[int]]


def test_a_client_that_confirms_receipt_loses_the_lease_of_what_it_did_not_confirm(
    backlog: Backlog, clock: Clock, publish: Publish
) -> None:
    backlog.configure(backoff=Backoff(100.0, 100.0))
    leaving, staying = Reader(backlog), Reader(backlog)
    publish(3)
    received, *_ = leaving.take()
    backlog.modify_ack_deadlines([backlog.ack_ids.make(received)], [60])
    leaving.leave()
    clock.sleep(GRACE_SECONDS)

    batch = staying.take()
    assert [delivery.message.id for delivery in batch] == [2, 3]
    assert [delivery.attempt for delivery in batch] == [1, 1]


def test_a_receipt_that_comes_soon_after_the_end_still_counts(
    backlog: Backlog, clock: Clock, publish: Publish
) -> None:
    leaving, staying = Reader(backlog), Reader(backlog)
    publish(2)
    first, second = (backlog.ack_ids.make(delivery) for delivery in leaving.take())
    backlog.modify_ack_deadlines([first], [60])
    leaving.leave()
    backlog.modify_ack_deadlines([second], [60])
    clock.sleep(GRACE_SECONDS)

    assert staying.take() == []


def test_a_client_that_never_confirms_keeps_what_it_was_sent(
    backlog: Backlog, clock: Clock, publish: Publish
) -> None:
    leaving, staying = Reader(backlog), Reader(backlog)
    publish(2)
    leaving.take()
    leaving.leave()
    clock.sleep(GRACE_SECONDS)

    assert staying.take() == []


def test_a_client_that_acknowledges_without_confirming_keeps_what_it_was_sent(
    backlog: Backlog, clock: Clock, publish: Publish
) -> None:
    leaving, staying = Reader(backlog), Reader(backlog)
    publish(3)
    first, second, _ = (backlog.ack_ids.make(delivery) for delivery in leaving.take())
    backlog.acknowledge([first])
    backlog.modify_ack_deadlines([second], [60])
    leaving.leave()
    clock.sleep(GRACE_SECONDS)
    assert staying.take() == []

    clock.sleep(ACK_DEADLINE)
    assert staying.take_ids() == [3]


def test_a_confirmed_message_that_was_settled_is_not_missed(
    backlog: Backlog, clock: Clock, publish: Publish
) -> None:
    leaving, staying = Reader(backlog), Reader(backlog)
    publish(2)
    ack_ids = [backlog.ack_ids.make(delivery) for delivery in leaving.take()]
    backlog.modify_ack_deadlines(ack_ids, [60, 60])
    backlog.acknowledge(ack_ids[:1])
    backlog.modify_ack_deadlines(ack_ids[1:], [0])
    leaving.leave()
    clock.sleep(GRACE_SECONDS)

    assert staying.take_ids() == [2]
