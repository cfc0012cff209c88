from __future__ import annotations

from rele.engine.native.confirmed_receipts import ConfirmedReceipts
from rele.engine.native.delivery import Delivery


def deliveries(*keys: str) -> list[Delivery]:
    return [Delivery(f"ack-{n}", f"id-{n}", key) for n, key in enumerate(keys)]


def confirmed(receipts: ConfirmedReceipts, *found: Delivery) -> list[Delivery]:
    for each in found:
        each.is_confirmed = True
    return list(receipts.in_order(found))


def test_messages_of_a_key_are_handled_as_received_however_they_are_confirmed() -> None:
    receipts = ConfirmedReceipts()
    first, second, other, keyless = deliveries("a", "a", "b", "")
    receipts.expect([first, second, other, keyless])

    assert confirmed(receipts, second, other, keyless) == [other, keyless]
    assert confirmed(receipts, first) == [first, second]


def test_a_message_whose_lease_is_lost_is_not_waited_for() -> None:
    receipts = ConfirmedReceipts()
    first, second, third = deliveries("a", "a", "a")
    receipts.expect([first, second, third])
    first.is_lost = True

    assert confirmed(receipts, second) == [second]
    assert confirmed(receipts, third) == [third]
