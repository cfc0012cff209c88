"""One subscription's messages: waiting, handed out, acknowledged, coming again.

Nothing here knows of gRPC or asyncio. Time comes from the clock that is passed in, and whoever
drives the state calls ``advance`` when it is asked to.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import AckIds, Census, Delivery, Outcome
from rele.emulator.delivery.leases import Leases
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.ordered_queue import OrderedQueue
from rele.emulator.delivery.receipts import GRACE_SECONDS
from rele.emulator.delivery.unordered_queue import ReadyQueue


class DeliveryState(Leases):
    """What becomes of the messages of one subscription.

    Args:
        tag: eight hexadecimal digits that mark this subscription's ack ids.
        clock: the time in seconds, never going back.
        on_due: called with the time at which ``advance`` has to be called next. Several calls
            may ask for several times; only the earliest counts.
        ordered: whether messages with an ordering key keep their order.

    ``acknowledge`` and ``modify_ack_deadlines`` are best effort, as the service documents for
    subscriptions without exactly-once delivery: an acknowledgement that comes late, or with the
    ack id of an earlier delivery, still settles the message, unless its order forbids it; one for
    a message that is gone does nothing. With exactly-once delivery, ``acknowledge_exactly`` and
    ``modify_exactly`` take only ids of leases that last, and tell which were taken.
    """

    def __init__(
        self,
        tag: str,
        clock: Callable[[], float],
        on_due: Callable[[float], None],
        *,
        ordered: bool = False,
    ) -> None:
        super().__init__(clock, OrderedQueue() if ordered else ReadyQueue())
        self.ack_ids = AckIds(tag)
        self.exactly_once = False
        self._on_due = on_due
        self._closed: Exception | None = None

    @property
    def waiting(self) -> int:
        """How many messages could be taken now."""
        return len(self._ready)

    @property
    def unsettled(self) -> int:
        """How many messages were handed out at least once and are not acknowledged."""
        return len(self._deliveries)

    @property
    def consumed(self) -> bool:
        """Whether anybody takes messages now."""
        return len(self._consumers) > 0

    def unacknowledged(self) -> list[StoredMessage]:
        """Every message that is not acknowledged, in the order of publishing."""
        found = {message.id: message for message in self._ready.messages()}
        found.update((each.message.id, each.message) for each in self._deliveries.values())
        return [found[number] for number in sorted(found)]

    def end_leases(self) -> None:
        """End every lease as if it had never been, before ``replace``.

        Acknowledged messages that are redelivered for their order's sake are unacknowledged then.
        """
        self._put_back_unharmed(list(self._deliveries.values()))

    def replace(self, messages: Sequence[StoredMessage]) -> None:
        """Make ``messages``, in the order of publishing, the ones that are not acknowledged.

        All of them are available at once, as if they had never been handed out: every lease and
        backoff ends, and every ack id that was given out before is void.
        """
        for delivery in self._deliveries.values():
            if delivery.leased:
                self._end_lease(delivery)
        self._deliveries.clear()
        self._timers.clear()
        self._former_attempts = {}
        self._ready.clear()
        self.ack_ids = self.ack_ids.of_next_era()
        self._ready.extend(messages)
        self.ledger.replaced([message.id for message in messages])
        self._wake_next()

    def drop_older(self, publish_time: int) -> None:
        """Forget messages that were published before a time (microseconds since the epoch)."""
        # They were first handed out about in the order of publishing: what has to go is in front.
        old = takewhile(
            lambda delivery: delivery.message.publish_time < publish_time,
            self._deliveries.values(),
        )
        for delivery in sorted(old, key=lambda delivery: delivery.message.id):
            self._remove(delivery)
        self.ledger.removed(self._ready.drop_older(publish_time))
        self._wake_next()

    def census(self) -> Census:
        """Count the messages that are not acknowledged; takes time for those handed out."""
        out = self._deliveries.values()
        leased = sum(each.leased for each in out)
        held = sum(
            not each.leased and each.due is not None and not self._ready.counts_held(each)
            for each in out
        )
        times = [each.message.publish_time for each in out]
        if (new := self._ready.oldest_new()) is not None:
            times.append(new)
        return Census(
            len(self._consumers), len(self._ready) + held, leased, min(times, default=None)
        )

    def publish(self, messages: Sequence[StoredMessage]) -> None:
        """Add new messages behind those that wait."""
        self._ready.extend(messages)
        self.ledger.published(messages)
        self._wake_next()

    def restore(self, messages: Iterable[StoredMessage], attempts: dict[int, int]) -> None:
        """Begin with what a former server's ledger has, in the order of publishing.

        ``attempts`` are the next ones of some message ids; of all others it is the first.
        """
        self._ready.extend(messages)
        self._former_attempts = attempts

    def check_open(self) -> None:
        """Raise the reason if the state is closed."""
        if self._closed is not None:
            raise self._closed

    def attach(self, consumer: Consumer) -> None:
        """Let ``consumer`` take messages. Raises the reason if the state is closed."""
        self.check_open()
        self._consumers.attach(consumer)

    def detach(self, consumer: Consumer) -> None:
        """Forget ``consumer``; what it has received stays leased until its deadline."""
        if self._closed is not None:
            return
        self._consumers.detach(consumer)
        self._ready.forget(consumer)
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
        self.check_open()
        sharers = 1 + self._consumers.idle
        limit = min(max_messages, -(-len(self._ready) // sharers))
        batch = self._lease_batch(consumer, limit, max_bytes)
        if batch:
            self._request_advance()
        else:
            self._consumers.park(consumer, blocked=self._ready.head(consumer) is not None)
        self._wake_next()
        return batch

    def release(self, consumer: Consumer, batch: Iterable[Delivery]) -> None:
        """Undo a ``take`` of ``consumer`` whose messages were never sent.

        They are the next to go, and it does not count as an attempt. Those that were settled or
        ran out of time meanwhile are passed by.
        """
        self._put_back_unharmed([delivery for delivery in batch if delivery.consumer is consumer])
        self._wake_next()

    def set_aside(self, deliveries: Iterable[Delivery]) -> None:
        """Forget leased messages whose bytes are damaged, so that nobody can be given them.

        The ledger keeps them: the next start looks at them again.
        """
        for delivery in deliveries:
            self._forget(delivery)
        self._wake_next()

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Settle messages for good. Raises ``MalformedAckIdError``, then nothing is settled."""
        for named in self.ack_ids.parse(ack_ids):
            delivery = self._deliveries.get(named[0]) if named else None
            if delivery is None:
                continue
            # One that is out may be acknowledged before earlier ones; a late ack that were
            # honoured then would leave a gap where all of them come again.
            if self._current(named) is not None or self._ready.is_first(delivery):
                self._settle(delivery)
        self._wake_next()

    def acknowledge_exactly(self, ack_ids: Iterable[str]) -> Outcome:
        """Settle the messages whose lease lasts, those of an ordering key only in order."""
        outcome = Outcome()
        for named, ack_id in sorted((self.ack_ids.read(ack_id), ack_id) for ack_id in ack_ids):
            delivery = self._current(named)
            if delivery is None:
                outcome.invalid.append(ack_id)
            elif self._ready.is_first(delivery):
                self._settle(delivery)
                outcome.done.append(ack_id)
            else:
                outcome.unordered.append(ack_id)
        self._wake_next()
        return outcome

    def modify_ack_deadlines(self, ack_ids: Iterable[str], seconds: Iterable[float]) -> None:
        """Let each lease run its number of ``seconds`` from now; 0 gives the message back (a nack).

        Ids whose lease is over are passed by. Raises ``MalformedAckIdError``, then nothing is
        changed.
        """
        now = self._clock()
        for named, deadline in zip(self.ack_ids.parse(ack_ids), seconds, strict=True):
            delivery = self._current(named)
            if delivery is not None:
                self._modify(delivery, deadline, now)
        self._request_advance()
        self._wake_next()

    def modify_exactly(self, ack_ids: Sequence[str], seconds: Sequence[float]) -> Outcome:
        """Like ``modify_ack_deadlines``, and tell whose lease lasted."""
        outcome = Outcome()
        now = self._clock()
        # Looked up first: the refusal of one message ends the leases of its followers.
        found = [self._current(self.ack_ids.read(ack_id)) for ack_id in ack_ids]
        for ack_id, delivery, deadline in zip(ack_ids, found, seconds, strict=True):
            if delivery is None:
                outcome.invalid.append(ack_id)
                continue
            outcome.done.append(ack_id)
            if delivery.leased:
                self._modify(delivery, deadline, now)
        self._request_advance()
        self._wake_next()
        return outcome

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

    def _request_advance(self) -> None:
        due = self._timers.next_due()
        if due is not None:
            self._on_due(due)

    def _wake_next(self) -> None:
        head = self._ready.head(None)
        if head is not None:
            self._consumers.wake_next(head.size)
        for consumer, size in self._ready.reserved():
            self._consumers.wake(consumer, size)
