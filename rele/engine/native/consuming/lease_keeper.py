"""Keeping the leases of a subscription, and telling Pub/Sub how messages were settled.

No clock, no thread, no gRPC.
"""

from __future__ import annotations

import random as random_numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from rele.engine.native.consuming.asked_leases import AskedLeases
from rele.engine.native.consuming.delayed_charges import DelayedCharges
from rele.engine.native.consuming.delivery import ACK, Charge, Delivery, Settled
from rele.engine.native.consuming.dues import earliest
from rele.engine.native.consuming.lease_calls import LEASE_LOST, UNAVAILABLE, Call, Work
from rele.engine.native.consuming.lease_requests import divided, sorted_by_outcome
from rele.engine.native.consuming.lease_times import LeaseTimes
from rele.engine.native.consuming.renewals import Renewals
from rele.engine.native.consuming.settled_queue import SettledQueue

_RETRIED_AFTER = (0.1, 5.0)
"""The first and the longest pause in seconds before a failed call is repeated."""

_ASKED_AGAIN_AFTER = 5.0
"""Seconds after which a nack or a delay without an answer is sent again."""

_MOST_UNDER_WAY = 20
"""Calls without an answer, beyond which settlements and receipts are gathered. So however long an
answer takes, calls do not wait behind each other for their turn on the connection."""

_TO_LEARN_EVERY = 1.0


class LeaseKeeper:
    """The outstanding deliveries of one subscription.

    A delivery is received, perhaps renewed, settled, and confirmed. While an extension of it is
    under way, a nack or a delay waits for the end of that call: the extension might arrive after
    it, and undo it. An ack need not wait.

    All times are seconds of one clock. One thread at a time may use it.

    Args:
        times: how long leases last.
        max_lease: seconds after which an outstanding message is nacked, whatever its handler does.
        is_exactly_once: whether acks are confirmed one by one.
        random: a number from 0 to 1.
    """

    def __init__(
        self,
        times: LeaseTimes,
        max_lease: float,
        *,
        is_exactly_once: bool = False,
        random: Callable[[], float] = random_numbers.random,
    ) -> None:
        self._times = times
        self._max_lease = max_lease
        self._is_exactly_once = is_exactly_once
        self._random = random
        self.outstanding: dict[str, Delivery] = {}
        """By ack id: everything that Pub/Sub does not know to be settled."""
        self._renewals = Renewals()
        self._numbers = count()
        self._receipts: list[Delivery] = []
        """What is to be extended for the first time, at once."""
        self._receipts_at: float | None = None
        """When what is outstanding and was not extended yet is to be."""
        self._confirmed_receipts: list[Delivery] = []
        self.settled = SettledQueue()
        """What is to be sent of settlements."""
        self._retries: list[tuple[float, int, Call]] = []
        self._failures = 0
        self._learn_at = 0.0
        self._delayed = DelayedCharges()
        self._asked = AskedLeases()
        self._work = Work()
        self.unsettled = 0
        """How many outstanding deliveries are not settled."""
        self.under_way = 0
        """How many calls have no answer yet."""

    def receive(
        self, deliveries: Sequence[Delivery], now: float, charge: Charge | None = None
    ) -> None:
        """Begin the leases of ``deliveries``, which were received now.

        Args:
            deliveries: what was received together.
            now: the time.
            charge: of the stream that it was received on.
        """
        outstanding, ends_at = self.outstanding, now + self._times.seconds
        for delivery in deliveries:
            delivery.received_at = now
            delivery.lease_ends_at = ends_at
            delivery.charge = charge
            outstanding[delivery.ack_id] = delivery
        if not (wait := self._times.receipts_after):
            self._receipts += deliveries
        elif self._receipts_at is None:
            self._receipts_at = now + wait
        self.unsettled += len(deliveries)
        if charge is not None:
            charge.leased += len(deliveries)
            charge.unsettled += len(deliveries)

    def settle(self, delivery: Delivery, settled: Settled, now: float) -> None:
        """Note how ``delivery`` was settled; the first call counts."""
        before = delivery.settled
        if settled.kind == "extend":
            if self._asked.ask(delivery, settled):
                self.settled.add([delivery], settled, now)
            return
        if before is not None and not (before.kind == "drop" and settled.kind == "delay"):
            self._asked.refuse(delivery, settled)
            return
        delivery.settled = settled = self._asked.settled_as(delivery, settled)
        self._times.note_handled(now - delivery.received_at)
        if before is None and not delivery.is_lost:
            self._note_settled(delivery)
        if delivery.is_lost:
            self._fail(delivery, LEASE_LOST)
            if settled.kind == "ack" and not self._is_exactly_once:
                # Pub/Sub may accept it although it is late, and so need not redeliver the message.
                self.settled.add([delivery], settled, now)
        elif settled.kind == "drop":
            self._delayed.add(delivery.lease_ends_at, delivery)
            self._note_done([delivery])
        elif settled.kind == "ack" or not delivery.is_being_extended:
            self.settled.add([delivery], settled, now)

    def ack_together(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Note that ``deliveries`` were acked, and that nobody waits for a response."""
        acked: list[Delivery] = []
        received_at: float | None = None
        for delivery in deliveries:
            if delivery.settled is not None or delivery.is_lost:
                self.settle(delivery, ACK, now)
                continue
            delivery.settled = ACK
            acked.append(delivery)
            if delivery.charge is not None:
                delivery.charge.unsettled -= 1
            if delivery.received_at != received_at:  # one for all that were received together
                received_at = delivery.received_at
                self._times.note_handled(now - received_at)
        self.unsettled -= len(acked)
        if acked:
            self.settled.add(acked, ACK, now)

    def lose(self, deliveries: Iterable[Delivery]) -> None:
        """Note that the leases of ``deliveries`` have ended, or are not valid any more."""
        for delivery in deliveries:
            if delivery.is_lost:
                continue
            delivery.is_lost = True
            self._asked.note_lost(delivery)
            if delivery.settled is not None:
                self._fail(delivery, LEASE_LOST)
            else:
                self._note_settled(delivery)
                self._release([delivery])

    def note_answer(
        self, call: Call, now: float, *, error: str | None, refused: Mapping[str, str]
    ) -> None:
        """Note the end of a call.

        Args:
            call: the call.
            now: the time.
            error: why it failed altogether, ``None`` if it did not.
            refused: with exactly-once delivery, why it has no effect, by ack id: a text that begins
                with ``TRANSIENT`` says that it may have one if it is repeated.
        """
        self.under_way -= 1
        done, again, lost = sorted_by_outcome(call.deliveries, error, refused)
        self._failures = self._failures + 1 if again else 0
        if call.purpose == "extend":
            self._note_extended(call, done, again, lost, now)
            return
        if call.purpose == "delay":
            self._note_delayed(call, done, now)
        self._note_done(done)
        self._work.lost += lost
        for delivery in lost:
            delivery.is_lost = True
            self._fail(delivery, refused[delivery.ack_id])
        if again := [delivery for delivery in again if not delivery.is_lost]:
            self._repeat(call, again, now)

    def is_done(self, delivery: Delivery) -> bool:
        """Whether Pub/Sub knows how ``delivery`` was settled, or its lease was lost."""
        return delivery.ack_id not in self.outstanding

    def take_confirmed_receipts(self) -> list[Delivery]:
        """The deliveries that may be handled now, with exactly-once delivery.

        Pub/Sub may have given a message to another worker before it was received. Only where the
        first extension succeeds, the lease is known to be held here.
        """
        confirmed, self._confirmed_receipts = self._confirmed_receipts, []
        return confirmed

    def act(self, now: float) -> Work:
        """Decide what to do now."""
        self._delayed.end_due(now)
        if now >= self._learn_at:
            self._times.learn()
            self._renewals.tidy(self.unsettled)
            self._learn_at = now + _TO_LEARN_EVERY
        self._renew_due(now)
        if self._has_room:
            self._send_what_can_wait(now)
        while self._retries and self._retries[0][0] <= now:
            call = heappop(self._retries)[2]
            self._send(call.purpose, self._still_valid(call, now), now, call.seconds_left(now))
        self._work.answered, self._asked.ended = self._asked.ended, []
        work, self._work = self._work, Work()
        return work

    def next_due(self) -> float | None:
        """When to call :meth:`act` at the latest; ``None``: not before the next event."""
        times = [self._renewals.next_due(), self._retries[0][0] if self._retries else None]
        if self._has_room:
            times += [self.settled.send_at, self._receipts_at]
        return earliest(*times)

    @property
    def _has_room(self) -> bool:
        """Whether another call may be begun that can wait."""
        return self.under_way < _MOST_UNDER_WAY

    @property
    def is_busy(self) -> bool:
        """Whether Pub/Sub is still to be told of a settlement."""
        return bool(self.under_way or self.settled.send_at is not None or self._retries)

    def give_up(self) -> None:
        """Wait for no confirmation any more: Pub/Sub is unavailable.

        A settlement that somebody waits for is ended by an error; it may still take effect.
        """
        for delivery in list(self.outstanding.values()):
            settled = delivery.settled
            if settled is not None and settled.wants_response:
                self._fail(delivery, UNAVAILABLE)

    def _send_what_can_wait(self, now: float) -> None:
        if self._receipts:
            receipts, self._receipts = self._receipts, []
            self._extend([d for d in receipts if d.settled is None and not d.is_lost], now)
        if self._receipts_at is not None and self._receipts_at <= now:
            self._send_receipts(now)
        if self.settled.send_at is not None and now >= self.settled.send_at:
            for (kind, seconds), deliveries in self.settled.take().items():
                if kind == "extend":
                    self._extend(self._asked.take_due(deliveries, seconds), now, seconds)
                else:
                    self._send(kind, deliveries, now, seconds)

    def _send_receipts(self, now: float) -> None:
        """Extend what was outstanding for a while, and was not extended yet."""
        wait, late = self._times.receipts_after, []
        self._receipts_at = None
        for delivery in self.outstanding.values():  # the oldest is the first
            if delivery.received_at + wait > now:
                self._receipts_at = delivery.received_at + wait
                break
            if not delivery.is_extended and delivery.settled is None:
                late.append(delivery)
        self._extend(late, now)

    def _renew_due(self, now: float) -> None:
        due = self._renewals.take_due(now)
        if not due:
            return
        self._lose([delivery for delivery in due if delivery.lease_ends_at <= now])
        overdue = [d for d in due if not d.is_lost and now - d.received_at >= self._max_lease]
        for delivery in overdue:
            self.settle(delivery, Settled("nack"), now)
        self._work.overdue += overdue
        # What is being extended gets the time of its next renewal when that has ended.
        free = [d for d in due if d.settled is None and not d.is_lost and not d.is_being_extended]
        self._extend(free, now)

    def _extend(self, deliveries: list[Delivery], now: float, seconds: int | None = None) -> None:
        for delivery in deliveries:
            delivery.is_being_extended = delivery.is_extended = True
        self._send("extend", deliveries, now, seconds or self._times.seconds)

    def _note_extended(
        self,
        call: Call,
        done: Sequence[Delivery],
        again: Sequence[Delivery],
        lost: Sequence[Delivery],
        now: float,
    ) -> None:
        for delivery in call.deliveries:
            delivery.is_being_extended = False
        if self._is_exactly_once:
            self._confirm_receipt(done)
        ends_at = call.sent_at + call.seconds
        for delivery in done:
            delivery.lease_ends_at = ends_at
            renew_at = call.sent_at + self._times.renewed_after(call.seconds)
            if delivery.settled is None:
                self._renewals.add(delivery, min(renew_at, delivery.received_at + self._max_lease))
        for delivery in again:
            delivery.is_doubtful = True
            self._renewals.add(delivery, now + self._pause())
        self._lose(lost)
        for delivery in (
            *self._asked.note_answer(done, call.seconds),
            *self._asked.note_answer(again, call.seconds, UNAVAILABLE),
        ):
            self.settled.add([delivery], self._asked.of(delivery), now)
        for delivery in (*done, *again):
            settled = delivery.settled
            if settled is not None and settled.kind in ("nack", "delay"):
                self.settled.add([delivery], settled, now)

    def _note_delayed(self, call: Call, deliveries: Sequence[Delivery], now: float) -> None:
        doubtful: list[Delivery] = []
        for delivery in deliveries:
            delivery.lease_ends_at = now + call.seconds
            if delivery.ack_id in self.outstanding:
                self._delayed.add(delivery.lease_ends_at, delivery)
            if delivery.is_doubtful:
                delivery.is_doubtful = False
                doubtful.append(delivery)
        if doubtful and call.seconds > _ASKED_AGAIN_AFTER:
            # The extension may have arrived after the delay, and have undone it.
            self._repeat(call, doubtful, now)

    def _confirm_receipt(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            if not delivery.is_confirmed:
                delivery.is_confirmed = True
                if delivery.settled is None and not delivery.is_lost:
                    self._confirmed_receipts.append(delivery)

    def _send(
        self,
        purpose: Literal["ack", "nack", "delay", "extend"],
        deliveries: list[Delivery],
        now: float,
        seconds: int,
    ) -> None:
        for part in divided(deliveries):
            self._work.calls.append(Call(purpose, part, now, seconds))
            self.under_way += 1

    def _repeat(self, call: Call, deliveries: list[Delivery], now: float) -> None:
        pause = self._pause()
        if call.purpose in ("nack", "delay"):
            pause = max(pause, call.sent_at + _ASKED_AGAIN_AFTER - now)
        repeated = Call(call.purpose, deliveries, call.sent_at, call.seconds)
        heappush(self._retries, (now + pause, next(self._numbers), repeated))

    def _still_valid(self, call: Call, now: float) -> list[Delivery]:
        """The deliveries of a failed call whose leases have not ended; the others are lost."""
        self._lose([delivery for delivery in call.deliveries if delivery.lease_ends_at <= now])
        return [delivery for delivery in call.deliveries if delivery.lease_ends_at > now]

    def _lose(self, deliveries: Sequence[Delivery]) -> None:
        self._work.lost += [delivery for delivery in deliveries if not delivery.is_lost]
        self.lose(deliveries)

    def _pause(self) -> float:
        first, longest = _RETRIED_AFTER
        return float(min(first * 2.0 ** min(self._failures, 16), longest) * self._random())

    def _note_done(self, deliveries: Iterable[Delivery]) -> None:
        self._work.ended += [(delivery, None) for delivery in self._release(deliveries)]

    def _fail(self, delivery: Delivery, error: str) -> None:
        """Note that the settlement of ``delivery`` has no effect."""
        self._release([delivery])
        self._work.ended.append((delivery, error))

    def _note_settled(self, delivery: Delivery) -> None:
        self.unsettled -= 1
        if delivery.charge is not None:
            delivery.charge.unsettled -= 1

    def _release(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Forget ``deliveries``; return those that were outstanding."""
        pop = self.outstanding.pop
        released = [delivery for delivery in deliveries if pop(delivery.ack_id, None)]
        for delivery in released:
            if delivery.charge is not None:
                delivery.charge.leased -= 1
        return released
