"""One subscription's messages: waiting, handed out, acknowledged, coming again.

Nothing here knows of gRPC or asyncio. Time comes from the clock that is passed in, and whoever
drives the state calls ``advance`` when it is asked to.
"""

from collections.abc import Callable, Iterable

from rele.emulator.backoff import NO_BACKOFF, Backoff
from rele.emulator.consumers import Consumer, ConsumerRing
from rele.emulator.deliveries import AckIds, Delivery
from rele.emulator.messages import StoredMessage
from rele.emulator.ready_queue import ReadyQueue
from rele.emulator.receipts import GRACE_SECONDS
from rele.emulator.timers import TimerHeap


class DeliveryState:
    """What becomes of the messages of one subscription.

    Args:
        tag: eight hexadecimal digits that mark this subscription's ack ids.
        clock: the time in seconds, never going back.
        on_due: called with the time at which ``advance`` has to be called next. Several calls
            may ask for several times; only the earliest counts.

    An acknowledgement is best effort, as the service documents for subscriptions without
    exactly-once delivery: one that comes late, or with the ack id of an earlier delivery, still
    settles the message; one for a message that is gone does nothing.
    """

    def __init__(
        self, tag: str, clock: Callable[[], float], on_due: Callable[[float], None]
    ) -> None:
        self.ack_ids = AckIds(tag)
        self.backoff: Backoff = NO_BACKOFF
        self._clock = clock
        self._on_due = on_due
        self._ready = ReadyQueue()
        self._deliveries: dict[int, Delivery] = {}
        self._timers: TimerHeap[Delivery] = TimerHeap()
        self._consumers = ConsumerRing()
        self._closed: Exception | None = None

    @property
    def waiting(self) -> int:
        """How many messages could be taken now."""
        return len(self._ready)

    @property
    def unsettled(self) -> int:
        """How many messages were handed out at least once and are not acknowledged."""
        return len(self._deliveries)

    def publish(self, messages: Iterable[StoredMessage]) -> None:
        """Add new messages behind those that wait."""
        self._ready.extend(messages)
        self._wake_next()

    def attach(self, consumer: Consumer) -> None:
        """Let ``consumer`` take messages. Raises the reason if the state is closed."""
        if self._closed is not None:
            raise self._closed
        self._consumers.attach(consumer)

    def detach(self, consumer: Consumer) -> None:
        """Forget ``consumer``; what it has received stays leased until its deadline."""
        if self._closed is not None:
            return
        self._consumers.detach(consumer)
        lost = consumer.receipts.end()
        if lost:
            due = self._clock() + GRACE_SECONDS
            for message_id in lost:
                self._timers.arm(self._deliveries[message_id], due)
            self._request_advance()
        # It may have been the one that was woken for what waits now.
        self._wake_next()

    def take(self, consumer: Consumer, max_messages: int, max_bytes: int) -> list[Delivery]:
        """Lease messages to ``consumer``: as many as its flow control and the limits admit.

        The first message counts whatever its size. When messages wait and others are idle,
        it is the consumer's share that it gets. With an empty list the consumer is parked, and
        its ``on_ready`` called when to try again. Raises the reason if the state is closed.
        """
        if self._closed is not None:
            raise self._closed
        sharers = 1 + self._consumers.idle
        limit = min(max_messages, -(-len(self._ready) // sharers))
        batch = self._lease_batch(consumer, limit, max_bytes)
        if batch:
            self._request_advance()
        else:
            self._consumers.park(consumer, blocked=len(self._ready) > 0)
        self._wake_next()
        return batch

    def release(self, consumer: Consumer, batch: Iterable[Delivery]) -> None:
        """Undo a ``take`` of ``consumer`` whose messages were never sent.

        They are the next to go, and it does not count as an attempt. Those that were settled or
        ran out of time meanwhile are passed by.
        """
        self._put_back_unharmed([delivery for delivery in batch if delivery.consumer is consumer])
        self._wake_next()

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Settle messages for good. Raises ``MalformedAckIdError``, then nothing is settled."""
        for named in self.ack_ids.parse(ack_ids):
            delivery = self._deliveries.pop(named[0], None) if named else None
            if delivery is None:
                continue
            if delivery.leased:
                self._note_receipt(delivery, acknowledged=True)
                self._end_lease(delivery)
            elif delivery.due is not None:
                self._timers.disarm(delivery)
            else:
                self._ready.discard(delivery)
        self._wake_next()

    def modify_ack_deadlines(self, ack_ids: Iterable[str], seconds: Iterable[float]) -> None:
        """Let each lease run its number of ``seconds`` from now; 0 gives the message back (a nack).

        Ids whose lease is over are passed by. Raises ``MalformedAckIdError``, then nothing is
        changed.
        """
        now = self._clock()
        for named, deadline in zip(self.ack_ids.parse(ack_ids), seconds, strict=True):
            delivery = self._current(named)
            if delivery is None:
                continue
            if deadline > 0:
                self._note_receipt(delivery, acknowledged=False)
                self._timers.arm(delivery, now + deadline)
            else:
                self._fail(delivery, now)
        self._request_advance()
        self._wake_next()

    def advance(self) -> None:
        """Bring back what is due: leases that ran out, and messages whose backoff is over."""
        now = self._clock()
        lost = []
        for delivery in self._timers.pop_due(now):
            if not delivery.leased:
                self._ready.put_back(delivery)
            elif self._is_lost(delivery):
                lost.append(delivery)
            else:
                self._fail(delivery, now)
        self._put_back_unharmed(lost)
        self._request_advance()
        self._wake_next()

    def close(self, reason: Exception) -> None:
        """Drop everything and end every consumer with ``reason``."""
        self._closed = reason
        self._ready.clear()
        self._deliveries.clear()
        self._timers.clear()
        self._consumers.close(reason)

    def _current(self, named: tuple[int, int] | None) -> Delivery | None:
        """The leased delivery that an ack id names, unless it is of an earlier lease."""
        if named is None:
            return None
        message_id, attempt = named
        delivery = self._deliveries.get(message_id)
        if delivery is None or not delivery.leased or delivery.attempt != attempt:
            return None
        return delivery

    def _lease_batch(self, consumer: Consumer, limit: int, max_bytes: int) -> list[Delivery]:
        due = self._clock() + consumer.ack_deadline
        batch: list[Delivery] = []
        total = 0
        while len(batch) < limit and (head := self._ready.head()) is not None:
            size = len(head.encoded)
            total += size
            if not consumer.flow.admits(size) or (batch and total > max_bytes):
                break
            delivery = self._ready.pop()
            delivery.leased = True
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
            consumer.flow.remove(len(delivery.message.encoded))
            consumer.receipts.over(delivery.message.id)
            self._consumers.made_room(consumer)

    def _put_back_unharmed(self, deliveries: list[Delivery]) -> None:
        """End leases as if they had never been."""
        for delivery in deliveries:
            self._end_lease(delivery)
        self._ready.put_back_unsent(deliveries)

    def _is_lost(self, delivery: Delivery) -> bool:
        consumer = delivery.consumer
        return consumer is not None and consumer.receipts.is_lost(delivery.message.id)

    def _note_receipt(self, delivery: Delivery, *, acknowledged: bool) -> None:
        if delivery.consumer is not None:
            receipts = delivery.consumer.receipts
            note = receipts.acknowledged if acknowledged else receipts.extended
            note(delivery.message.id)

    def _fail(self, delivery: Delivery, now: float) -> None:
        """Count a refusal or an expiry, and let the message come again after its backoff."""
        self._end_lease(delivery)
        delay = self.backoff.delay(delivery.attempt)
        delivery.attempt += 1
        if delay > 0:
            self._timers.arm(delivery, now + delay)
        else:
            self._ready.put_back(delivery)

    def _request_advance(self) -> None:
        due = self._timers.next_due()
        if due is not None:
            self._on_due(due)

    def _wake_next(self) -> None:
        head = self._ready.head()
        if head is not None:
            self._consumers.wake_next(len(head.encoded))
