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


def test_a_lost_message_keeps_its_place_so_that_what_follows_it_waits_for_its_redelivery() -> None:
    receipts = ConfirmedReceipts()
    first, second = deliveries("a", "a")
    receipts.expect([first, second])
    first.is_lost = True

    assert confirmed(receipts, second) == [first, second]


def test_what_was_confirmed_need_not_wait_for_the_confirmation_of_a_lost_message() -> None:
    receipts = ConfirmedReceipts()
    first, second, third = deliveries("a", "a", "a")
    receipts.expect([first, second, third])
    assert confirmed(receipts, second) == []
    first.is_lost = True

    assert list(receipts.next_of("a")) == [first, second]
    assert list(receipts.next_of("a")) == []
