"""The leases of messages, and the redelivery after a nack, a deadline or the end of a stream."""

from collections.abc import Callable, Iterable, Iterator

from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.delivery.consumers import Consumer, ConsumerRing
from rele.emulator.delivery.dead_letters import DeadLetters
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.ledger import Ledger
from rele.emulator.delivery.queue import Queue
from rele.emulator.delivery.receipts import GRACE_SECONDS
from rele.emulator.delivery.timers import TimerHeap


class Leases:
    """The messages of one subscription that were delivered and are not acknowledged.

    Args:
        clock: the time in seconds, never decreasing.
        queue: where messages are leased from, and where they wait to be redelivered.
        consumers: the consumers that the messages are leased to.
        ledger: where removed messages and failed attempts are reported.

    The owner wakes consumers and requests ``advance``, once for all the messages of a request.
    """

    def __init__(
        self, clock: Callable[[], float], queue: Queue, consumers: ConsumerRing, ledger: Ledger
    ) -> None:
        self.backoff: Backoff = NO_BACKOFF
        self.dead_letters: DeadLetters | None = None
        self._clock = clock
        self._queue = queue
        self._consumers = consumers
        self._ledger = ledger
        self._deliveries: dict[int, Delivery] = {}
        self._timers: TimerHeap[Delivery] = TimerHeap()
        self._restored_attempts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._deliveries)

    def __iter__(self) -> Iterator[Delivery]:
        """The deliveries, leased or not, roughly in the order in which they began."""
        return iter(self._deliveries.values())

    def get(self, message_id: int) -> Delivery | None:
        """The delivery of a message, leased or not."""
        return self._deliveries.get(message_id)

    def current(self, named: tuple[int, int] | None) -> Delivery | None:
        """The leased delivery that an ack id names, unless it is of an earlier lease."""
        if named is None:
            return None
        message_id, lease = named
        delivery = self._deliveries.get(message_id)
        if delivery is None or not delivery.leased or delivery.lease != lease:
            return None
        return delivery

    def next_due(self) -> float | None:
        """When ``advance`` has to be called next, if at all."""
        return self._timers.next_due()

    def begin(self, consumer: Consumer, limit: int, max_bytes: int) -> list[Delivery]:
        """Lease the next messages to ``consumer``: at most ``limit``, and ``max_bytes`` in all.

        The first one may be larger."""
        due = self._clock() + consumer.ack_deadline
        batch: list[Delivery] = []
        total = 0
        queue = self._queue
        while len(batch) < limit and (head := queue.head(consumer)) is not None:
            size = head.size
            total += size
            if not consumer.flow.admits(size) or (batch and total > max_bytes):
                break
            delivery = queue.pop(consumer)
            if self._restored_attempts:
                delivery.attempt = self._restored_attempts.pop(head.id, delivery.attempt)
            delivery.leased = True
            delivery.lease += 1
            delivery.consumer = consumer
            consumer.flow.add(size)
            consumer.receipts.sent(head.id)
            self._deliveries[head.id] = delivery
            self._timers.arm(delivery, due)
            batch.append(delivery)
        return batch

    def modify(self, delivery: Delivery, seconds: float, now: float) -> None:
        """Let a lease last for ``seconds`` from ``now``, or end it with 0 (a nack)."""
        if seconds > 0:
            if delivery.consumer is not None:
                delivery.consumer.receipts.extended(delivery.message.id)
            self._timers.arm(delivery, now + seconds)
        else:
            self._fail(delivery, now)

    def acknowledge(self, delivery: Delivery) -> None:
        """Remove an acknowledged message, leased or not."""
        if delivery.consumer is not None:
            delivery.consumer.receipts.acknowledged(delivery.message.id)
        self.remove(delivery)

    def remove(self, delivery: Delivery) -> None:
        """Remove a message, leased or not."""
        self._ledger.removed(self._forget(delivery))

    def set_aside(self, delivery: Delivery) -> None:
        """Forget a message that stays in the ledger."""
        number = delivery.message.id
        self._ledger.removed([each for each in self._forget(delivery) if each != number])

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """End leases as if they had never begun: the messages are the next to be delivered."""
        unsent = [delivery for delivery in deliveries if delivery.leased]
        for delivery in unsent:
            # Unless an earlier iteration has ended this lease, because this message follows another
            # one with the same ordering key.
            if delivery.leased:
                self._end(delivery)
                self._take_back(delivery)
        self._queue.put_back_unsent(unsent)

    def consumer_left(self, consumer: Consumer) -> None:
        """Release soon the messages that the client has not received; the others stay leased."""
        lost = consumer.receipts.end()
        due = self._clock() + GRACE_SECONDS
        for message_id in lost:
            self._timers.arm(self._deliveries[message_id], due)

    def advance(self) -> None:
        """End the leases that are due, and put back the messages whose backoff is over."""
        now = self._clock()
        lost = []
        for delivery in self._timers.pop_due(now):
            if not delivery.leased:
                self._queue.put_back(delivery)
            elif _is_lost(delivery):
                lost.append(delivery)
            else:
                self._fail(delivery, now)
        self.release(lost)

    def restore(self, attempts: dict[int, int]) -> None:
        """Set the next attempt of some messages, by id; every other message starts at attempt 1."""
        self._restored_attempts = attempts

    def void(self) -> None:
        """End every lease and backoff, and forget all messages and attempts."""
        for delivery in self._deliveries.values():
            if delivery.leased:
                self._end(delivery)
        self._restored_attempts = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything, at the end of the subscription."""
        self._deliveries.clear()
        self._timers.clear()

    def _fail(self, delivery: Delivery, now: float) -> None:
        """Count a nack or a passed deadline; the message is redelivered after its backoff.

        After the last attempt the message becomes a dead letter, if the subscription has a
        dead-letter topic that can take it.
        """
        self._end(delivery)
        self._take_back(delivery)
        attempts = delivery.attempt
        delivery.attempt += 1
        if self.dead_letters is not None and self.dead_letters.take(delivery.message, attempts):
            self.remove(delivery)
            return
        self._ledger.attempted(delivery.message.id, delivery.attempt)
        delay = self.backoff.delay(attempts)
        if delay > 0:
            self._timers.arm(delivery, now + delay)
        else:
            self._queue.put_back(delivery)

    def _forget(self, delivery: Delivery) -> Iterable[int]:
        """Forget a message; return the ids of all messages that are not redelivered any more."""
        del self._deliveries[delivery.message.id]
        gone = self._queue.remove(delivery)
        if delivery.leased:
            self._end(delivery)
        else:
            self._timers.disarm(delivery)
        return gone

    def _take_back(self, delivery: Delivery) -> None:
        """Note that a lease ended, and end the leases of the messages that follow in the order."""
        for follower in self._queue.take_back(delivery):
            if follower.leased:
                self._end(follower)
            self._deliveries[follower.message.id] = follower

    def _end(self, delivery: Delivery) -> None:
        self._timers.disarm(delivery)
        delivery.leased = False
        consumer, delivery.consumer = delivery.consumer, None
        if consumer is not None:
            consumer.flow.remove(delivery.message.size)
            consumer.receipts.over(delivery.message.id)
            self._consumers.made_room(consumer)


def _is_lost(delivery: Delivery) -> bool:
    """Whether a leased message did not reach its client before the stream ended."""
    consumer = delivery.consumer
    return consumer is not None and consumer.receipts.is_lost(delivery.message.id)
