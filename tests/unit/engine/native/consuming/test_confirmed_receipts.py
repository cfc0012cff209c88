from __future__ import annotations

from rele.engine.native.consuming.confirmed_receipts import ConfirmedReceipts
from rele.engine.native.consuming.delivery import Delivery


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


def test_what_follows_a_lost_message_is_not_handled_before_it_is_redelivered() -> None:
    receipts = ConfirmedReceipts()
    first, second = deliveries("a", "a")
    receipts.expect([first, second])
    first.is_lost = True

    assert confirmed(receipts, second) == []
    assert receipts.take_stale() == [second]

    again, second_again = deliveries("a", "a")
    receipts.expect([again, second_again])
    assert confirmed(receipts, again, second_again) == [again, second_again]


def test_nor_is_its_newer_delivery_dropped_where_the_loss_is_known_late() -> None:
    receipts = ConfirmedReceipts()
    first, second = deliveries("a", "a")
    again, second_again = deliveries("a", "a")
    again.received_at = second_again.received_at = 10.0
    receipts.expect([first, second, again, second_again])
    first.is_lost = True

    assert confirmed(receipts, again, second_again) == [again, second_again]
    assert receipts.take_stale() == [second]
