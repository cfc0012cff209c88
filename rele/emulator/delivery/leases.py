"""The messages of one subscription that are out, or have been."""

from collections.abc import Callable

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.delivery.consumers import Consumer, ConsumerRing
from rele.emulator.delivery.dead_letters import DeadLetters
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.timers import TimerHeap
from rele.emulator.delivery.unordered_queue import ReadyQueue
from rele.emulator.resources.journal import NO_LEDGER, Ledger


class Leases:
    """Begins and ends leases: the part of ``DeliveryState`` that is about single messages.

    Args:
        clock: the time in seconds, never going back.
        ready: what waits to be handed out.

    Whoever calls its methods wakes consumers and asks for the next ``advance`` afterwards, once
    for all the messages of a request.
    """

    def __init__(self, clock: Callable[[], float], ready: ReadyQueue) -> None:
        self.backoff: Backoff = NO_BACKOFF
        self.dead_letters: DeadLetters | None = None
        self.ledger: Ledger = NO_LEDGER
        self._clock = clock
        self._ready = ready
        self._deliveries: dict[int, Delivery] = {}
        self._timers: TimerHeap[Delivery] = TimerHeap()
        self._consumers = ConsumerRing()
        self._former_attempts: dict[int, int] = {}

    def _current(self, named: tuple[int, int] | None) -> Delivery | None:
        """The leased delivery that an ack id names, unless it is of an earlier lease."""
        if named is None:
            return None
        message_id, lease = named
        delivery = self._deliveries.get(message_id)
        if delivery is None or not delivery.leased or delivery.lease != lease:
            return None
        return delivery

    def _settle(self, delivery: Delivery) -> None:
        """Be done with an acknowledged message."""
        if delivery.leased:
            self._note_receipt(delivery, acknowledged=True)
        self._remove(delivery)

    def _forget(self, delivery: Delivery) -> None:
        """Forget a leased message, which stays in the ledger."""
        number = delivery.message.id
        del self._deliveries[number]
        self._end_lease(delivery)
        self.ledger.removed([each for each in self._ready.settled(delivery) if each != number])

    def _remove(self, delivery: Delivery) -> None:
        """Forget a message that was handed out."""
        del self._deliveries[delivery.message.id]
        if delivery.leased:
            self._end_lease(delivery)
            self.ledger.removed(self._ready.settled(delivery))
        else:
            self._timers.disarm(delivery)
            self._ready.discard(delivery)
            self.ledger.removed((delivery.message.id,))

    def _modify(self, delivery: Delivery, deadline: float, now: float) -> None:
        if deadline > 0:
            self._note_receipt(delivery, acknowledged=False)
            self._timers.arm(delivery, now + deadline)
        else:
            self._fail(delivery, now)

    def _lease_batch(self, consumer: Consumer, limit: int, max_bytes: int) -> list[Delivery]:
        due = self._clock() + consumer.ack_deadline
        batch: list[Delivery] = []
        total = 0
        while len(batch) < limit and (head := self._ready.head(consumer)) is not None:
            size = head.size
            total += size
            if not consumer.flow.admits(size) or (batch and total > max_bytes):
                break
            delivery = self._ready.pop(consumer)
            if self._former_attempts:
                delivery.attempt = self._former_attempts.pop(head.id, delivery.attempt)
            delivery.leased = True
            delivery.lease += 1
            delivery.consumer = consumer
            consumer.flow.add(size)
            consumer.receipts.sent(head.id)
            self._deliveries[head.id] = delivery
            self._timers.arm(delivery, due)
            batch.append(delivery)
        return batch

    def _end_lease(self, delivery: Delivery) -> None:
        self._timers.disarm(delivery)
        delivery.leased = False
        consumer, delivery.consumer = delivery.consumer, None
        if consumer is not None:
            consumer.flow.remove(delivery.message.size)
            consumer.receipts.over(delivery.message.id)
            self._consumers.made_room(consumer)

    def _put_back_unharmed(self, deliveries: list[Delivery]) -> None:
        """End leases as if they had never been."""
        unsent = [delivery for delivery in deliveries if delivery.leased]
        for delivery in unsent:
            # It may have followed one before it.
            if delivery.leased:
                self._end_lease(delivery)
                self._rewind(delivery)
        self._ready.put_back_unsent(unsent)

    def _rewind(self, delivery: Delivery) -> None:
        """Take back what comes again together with ``delivery``."""
        for follower in self._ready.rewind(delivery):
            if follower.leased:
                self._end_lease(follower)
            self._deliveries[follower.message.id] = follower

    def _is_lost(self, delivery: Delivery) -> bool:
        consumer = delivery.consumer
        return consumer is not None and consumer.receipts.is_lost(delivery.message.id)

    def _note_receipt(self, delivery: Delivery, *, acknowledged: bool) -> None:
        if delivery.consumer is not None:
            receipts = delivery.consumer.receipts
            note = receipts.acknowledged if acknowledged else receipts.extended
            note(delivery.message.id)

    def _fail(self, delivery: Delivery, now: float) -> None:
        """Count a refusal or an expiry, and let the message come again after its backoff.

        After the last attempt it becomes a dead letter, if it can.
        """
        self._end_lease(delivery)
        self._rewind(delivery)
        attempts = delivery.attempt
        delivery.attempt += 1
        if self.dead_letters is not None and self.dead_letters.take(delivery.message, attempts):
            del self._deliveries[delivery.message.id]
            self._ready.discard(delivery)
            self.ledger.removed((delivery.message.id,))
            return
        self.ledger.attempted(delivery.message.id, delivery.attempt)
        delay = self.backoff.delay(attempts)
        if delay > 0:
            self._timers.arm(delivery, now + delay)
            self._ready.hold(delivery)
        else:
            self._ready.put_back(delivery)
