from __future__ import annotations

from typing import Any

import pytest

from rele.engine.native.consuming.delivery import Delivery, Settled
from rele.engine.native.consuming.lease_calls import Call, Confirmed, Work
from rele.engine.native.consuming.lease_keeper import LeaseKeeper
from rele.engine.native.consuming.lease_times import LeaseTimes

ACK, NACK, DROP = Settled("ack"), Settled("nack"), Settled("drop")


class VirtualLeases:
    """A keeper in virtual time."""

    def __init__(self, *, is_exactly_once: bool = False, max_lease: float = 3600.0) -> None:
        self.now = 100.0
        times = LeaseTimes(60, is_exactly_once=is_exactly_once, random=lambda: 0.5)
        self.keeper = LeaseKeeper(
            times, max_lease, is_exactly_once=is_exactly_once, random=lambda: 1.0
        )
        self.under_way: list[Call] = []
        self.calls: list[Call] = []
        self.confirmed: list[Confirmed] = []
        self.answered: list[Confirmed] = []
        self.overdue: list[Delivery] = []
        self.lost: list[Delivery] = []

    def receive(self, number: int = 1) -> list[Delivery]:
        deliveries = [Delivery(f"ack-{n}", f"id-{n}") for n in range(number)]
        self.keeper.receive(deliveries, self.now)
        self._do(self.keeper.act(self.now))
        return deliveries

    def settle(self, delivery: Delivery, settled: Settled = ACK) -> None:
        self.keeper.settle(delivery, settled, self.now)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.keeper.next_due()) is not None and due <= until:
            self.now = max(self.now, due)
            self._do(self.keeper.act(self.now))
        self.now = until
        self._do(self.keeper.act(self.now))

    def answer(self, error: str | None = None, **refused: str) -> Call:
        call = self.under_way.pop(0)
        by_id = {name.replace("_", "-"): reason for name, reason in refused.items()}
        self.keeper.note_answer(call, self.now, error=error, refused=by_id)
        self._do(self.keeper.act(self.now))
        return call

    def _do(self, work: Work) -> None:
        self.under_way += work.calls
        self.calls += work.calls
        self.confirmed += work.confirmed
        self.answered += work.answered
        self.lost += work.lost
        self.overdue += work.overdue

    @property
    def purposes(self) -> list[tuple[Any, ...]]:
        return [(call.purpose, call.seconds, len(call.deliveries)) for call in self.calls]


@pytest.fixture
def leases() -> VirtualLeases:
    return VirtualLeases()


def test_a_received_message_is_confirmed_to_pubsub_by_an_extension(leases: VirtualLeases) -> None:
    leases.receive(3)

    assert leases.purposes == [("extend", 10, 3)]


def test_a_lease_is_renewed_before_it_ends_as_long_as_the_message_is_outstanding(
    leases: VirtualLeases,
) -> None:
    (delivery,) = leases.receive()
    for _ in range(5):
        leases.answer()
        leases.advance(7.0)

    assert leases.purposes == [("extend", 10, 1)] * 6
    leases.settle(delivery)
    leases.answer()
    leases.advance(0.01)
    leases.answer()
    leases.advance(60)
    assert leases.purposes[6:] == [("ack", 0, 1)]
    assert leases.keeper.next_due() is None


class TestReceipts:
    def test_what_is_settled_as_fast_as_usual_is_not_extended(self, leases: VirtualLeases) -> None:
        learn_that_handlers_take(leases, 0.1)

        deliveries = leases.receive(3)
        leases.advance(0.1)
        for delivery in deliveries[:2]:
            leases.settle(delivery)
        leases.advance(5.0)

        assert leases.purposes == [("ack", 0, 2), ("extend", 10, 1)]

    def test_slow_handlers_do_not_delay_them(self, leases: VirtualLeases) -> None:
        learn_that_handlers_take(leases, 0.6)
        leases.receive()

        assert leases.purposes == [("extend", 10, 1)]

    def test_with_exactly_once_delivery_they_are_not_delayed(self) -> None:
        leases = VirtualLeases(is_exactly_once=True)
        learn_that_handlers_take(leases, 0.1)
        leases.receive()

        assert leases.purposes == [("extend", 60, 1)]


def learn_that_handlers_take(leases: VirtualLeases, seconds: float) -> None:
    (delivery,) = leases.receive()
    leases.advance(seconds)
    leases.settle(delivery)
    leases.advance(2.0)
    leases.calls.clear()


def test_settlements_share_a_request(leases: VirtualLeases) -> None:
    deliveries = leases.receive(2500)
    for delivery in deliveries:
        leases.settle(delivery)
    leases.advance(0.01)

    acks = [call for call in leases.calls if call.purpose == "ack"]
    assert [len(call.deliveries) for call in acks] == [1000, 1000, 500]


def test_calls_without_an_answer_let_the_next_ones_gather_more(leases: VirtualLeases) -> None:
    """At a latency of half a second, one call for each message would be too many at a time."""
    deliveries = leases.receive(500)
    leases.answer()
    for number, delivery in enumerate(deliveries):
        leases.settle(delivery)
        leases.advance(0.01)
        if number % 50 == 49:  # half a second later
            for _ in range(len(leases.under_way)):
                leases.answer()
    leases.advance(1)
    while leases.under_way:
        leases.answer()

    acks = [call for call in leases.calls if call.purpose == "ack"]
    assert sum(len(call.deliveries) for call in acks) == 500
    assert len(acks) < 250
    assert len(leases.confirmed) == 500


def test_a_request_has_no_more_bytes_than_pubsub_takes(leases: VirtualLeases) -> None:
    deliveries = [Delivery("a" * 1020, f"id-{n}") for n in range(600)]
    for number, delivery in enumerate(deliveries):
        delivery.ack_id = f"{number:04}{delivery.ack_id}"
    leases.keeper.receive(deliveries, leases.now)
    leases.advance(0)

    assert [len(call.deliveries) for call in leases.calls] == [510, 90]


class TestTheSettlementIsTheLastWord:
    @pytest.mark.parametrize("settled", [NACK, Settled("delay", 60)])
    def test_a_nack_waits_for_the_extension_that_is_under_way(
        self, leases: VirtualLeases, settled: Settled
    ) -> None:
        (delivery,) = leases.receive()
        leases.settle(delivery, settled)
        leases.advance(1)
        assert leases.purposes == [("extend", 10, 1)]

        leases.answer()
        leases.advance(0.01)
        assert leases.purposes[1:] == [(settled.kind, settled.seconds, 1)]
        leases.answer()
        leases.advance(60)
        assert len(leases.calls) == 2, "a settled message is not extended"

    def test_an_ack_does_not_wait(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.settle(delivery, ACK)
        leases.advance(0.01)

        assert leases.purposes == [("extend", 10, 1), ("ack", 0, 1)]

    def test_a_delay_without_an_answer_is_sent_again_while_the_lease_lasts(
        self, leases: VirtualLeases
    ) -> None:
        (delivery,) = leases.receive()
        leases.answer()
        leases.settle(delivery, Settled("delay", 60))
        leases.advance(0.01)
        leases.answer("DEADLINE_EXCEEDED")
        leases.advance(4.9)
        assert [call.purpose for call in leases.calls] == ["extend", "delay"]
        leases.advance(0.2)
        assert [call.purpose for call in leases.calls] == ["extend", "delay", "delay"]
        leases.answer("DEADLINE_EXCEEDED")
        leases.advance(20)

        assert len(leases.calls) == 3, "the lease has ended: it would undo the redelivery"

    def test_a_delay_is_sent_again_where_an_extension_may_arrive_after_it(
        self, leases: VirtualLeases
    ) -> None:
        (delivery,) = leases.receive()
        leases.settle(delivery, Settled("delay", 60))
        leases.answer("DEADLINE_EXCEEDED")
        leases.advance(0.01)
        leases.answer()
        leases.advance(6)
        leases.answer()
        leases.advance(100)

        assert leases.purposes == [("extend", 10, 1), ("delay", 60, 1), ("delay", 55, 1)]

    def test_the_first_settlement_counts(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.answer()
        leases.settle(delivery, ACK)
        leases.settle(delivery, NACK)
        leases.advance(1)

        assert [call.purpose for call in leases.calls] == ["extend", "ack"]


class TestALeaseThatIsAskedFor:
    """By ``message.modify_ack_deadline``, in a hook."""

    def test_is_no_settlement(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.answer()
        leases.settle(delivery, Settled("extend", 300))
        leases.advance(0.01)
        leases.answer()
        leases.advance(60)
        leases.settle(delivery, ACK)
        leases.advance(0.01)
        leases.answer()

        assert leases.purposes == [("extend", 10, 1), ("extend", 300, 1), ("ack", 0, 1)]
        assert leases.confirmed == [Confirmed(delivery)]

    def test_waits_for_the_extension_that_is_under_way(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.settle(delivery, Settled("extend", 300))
        leases.advance(1)
        assert leases.purposes == [("extend", 10, 1)]
        leases.answer()
        leases.advance(0.01)
        assert leases.purposes == [("extend", 10, 1), ("extend", 300, 1)]

    def test_is_the_time_until_the_redelivery_of_what_is_dropped(
        self, leases: VirtualLeases
    ) -> None:
        (delivery,) = leases.receive()
        leases.settle(delivery, Settled("extend", 60))
        leases.settle(delivery, DROP)
        leases.answer()
        leases.advance(0.01)

        assert leases.purposes == [("extend", 10, 1), ("delay", 60, 1)]

    def test_is_answered_whatever_becomes_of_it(self, leases: VirtualLeases) -> None:
        asked = Settled("extend", 60, wants_response=True)
        delivery, settled, lost = leases.receive(3)
        leases.answer()
        leases.settle(settled, ACK)
        leases.keeper.lose([lost])
        for each in (delivery, settled, lost):
            leases.settle(each, asked)
        leases.settle(settled, Settled("nack", wants_response=True))
        leases.advance(0.01)
        while leases.under_way:
            leases.answer()

        lease_lost = "its lease was lost"
        assert sorted(leases.answered, key=repr) == sorted(
            [
                Confirmed(delivery, None, asked),
                Confirmed(settled, lease_lost, asked),
                Confirmed(lost, lease_lost, asked),
                Confirmed(settled, lease_lost, Settled("nack", wants_response=True)),
            ],
            key=repr,
        )


class TestLostLeases:
    def test_a_lease_that_could_not_be_renewed_is_lost(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.answer("UNAVAILABLE")
        for _ in range(100):
            leases.advance(0.5)
            while leases.under_way:
                leases.answer("UNAVAILABLE")

        assert delivery.is_lost
        assert leases.lost == [delivery]
        assert leases.keeper.outstanding == {}
        assert leases.keeper.next_due() is None

    def test_settling_it_has_no_effect_and_says_so(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.keeper.lose([delivery])
        leases.settle(delivery, NACK)
        leases.advance(1)

        assert leases.confirmed == [Confirmed(delivery, "its lease was lost")]

    def test_but_a_late_ack_is_sent_once(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.answer()
        leases.keeper.lose([delivery])
        leases.settle(delivery, ACK)
        leases.advance(1)
        leases.answer("UNAVAILABLE")
        leases.advance(60)

        assert [call.purpose for call in leases.calls] == ["extend", "ack"]

    def test_an_ack_is_repeated_while_its_lease_lasts(self, leases: VirtualLeases) -> None:
        (delivery,) = leases.receive()
        leases.answer()
        leases.settle(delivery, ACK)
        leases.advance(0.01)
        leases.answer("UNAVAILABLE")
        leases.advance(5)
        leases.answer()

        assert leases.confirmed == [Confirmed(delivery)]


def test_with_exactly_once_delivery_each_ack_is_confirmed() -> None:
    leases = VirtualLeases(is_exactly_once=True)
    deliveries = leases.receive(3)
    assert leases.purposes == [("extend", 60, 3)]
    leases.answer()
    for delivery in deliveries:
        leases.settle(delivery)
    leases.advance(0.01)
    leases.answer(ack_1="PERMANENT_FAILURE_INVALID_ACK_ID", ack_2="TRANSIENT_FAILURE_UNORDERED")
    leases.advance(5)
    leases.answer()

    assert [(each.delivery, each.error) for each in leases.confirmed] == [
        (deliveries[0], None),
        (deliveries[1], "PERMANENT_FAILURE_INVALID_ACK_ID"),
        (deliveries[2], None),
    ]


def test_a_message_is_nacked_after_the_longest_time_it_may_be_outstanding() -> None:
    leases = VirtualLeases(max_lease=30.0)
    (delivery,) = leases.receive()
    for _ in range(60):
        while leases.under_way:
            leases.answer()
        leases.advance(1)

    assert leases.overdue == [delivery]
    assert leases.purposes[-1] == ("nack", 0, 1)
    assert leases.calls[-1].sent_at == pytest.approx(130.0, abs=0.1)


def test_a_dropped_message_is_left_to_its_lease(leases: VirtualLeases) -> None:
    (delivery,) = leases.receive()
    leases.answer()
    leases.settle(delivery, DROP)
    leases.advance(100)

    assert [call.purpose for call in leases.calls] == ["extend"]
    assert leases.keeper.outstanding == {}


def test_leases_are_as_long_as_nearly_all_handlers_need(leases: VirtualLeases) -> None:
    for _ in range(200):
        for delivery in leases.receive(1):
            leases.answer()
            leases.advance(25)
            while leases.under_way:
                leases.answer()
            leases.settle(delivery)
            leases.advance(0.01)
            while leases.under_way:
                leases.answer()

    assert leases.calls[-2].seconds == 25
