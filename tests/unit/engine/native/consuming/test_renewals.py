from __future__ import annotations

from rele.engine.native.consuming.delivery import ACK, Delivery
from rele.engine.native.consuming.renewals import Renewals


def delivery(number: int) -> Delivery:
    return Delivery(f"ack-{number}", f"id-{number}")


def test_those_that_are_due_soon_are_taken_together() -> None:
    renewals = Renewals()
    first, second, third = map(delivery, range(3))
    for each, at in ((third, 12.0), (first, 10.0), (second, 10.9)):
        renewals.add(each, at)

    assert renewals.take_due(9.9) == []
    assert renewals.take_due(10.0) == [first, second]
    assert renewals.next_due() == 12.0


def test_only_the_last_time_counts() -> None:
    renewals = Renewals()
    early = delivery(1)
    renewals.add(early, 10.0)
    renewals.add(early, 20.0)

    assert renewals.take_due(10.0) == []
    assert renewals.take_due(20.0) == [early]


def test_settled_messages_are_not_kept_until_they_would_be_due() -> None:
    """With leases of a minute, a fast subscription would keep a hundred thousand of them."""
    renewals = Renewals()
    deliveries = list(map(delivery, range(5000)))
    for each in deliveries:
        renewals.add(each, 40.0)
    for each in deliveries[10:]:
        each.settled = ACK

    renewals.tidy(unsettled=10)

    assert len(renewals) == 10
    assert renewals.take_due(40.0) == deliveries[:10]
