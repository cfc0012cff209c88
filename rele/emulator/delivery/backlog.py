"""The backlog of one subscription: its messages that are not acknowledged.

Nothing here knows of gRPC or asyncio. Time is that of the clock that is passed in, and ``advance``
has to be called when the backlog asks for it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from rele.emulator.delivery.ack_ids import AckIds, Outcome
from rele.emulator.delivery.backoff import NO_BACKOFF, Backoff
from rele.emulator.delivery.census import Census
from rele.emulator.delivery.consumers import Consumer, ConsumerRing
from rele.emulator.delivery.dead_letters import DeadLetters
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.leases import Leases
from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.ordered_queue import OrderedQueue
from rele.emulator.delivery.queue import Queue
from rele.emulator.delivery.unordered_queue import UnorderedQueue


class Backlog:
    """Delivers the messages of one subscription until they are acknowledged.

    Args:
        tag: eight hexadecimal digits that mark this subscription's ack ids.
        clock: the time in seconds, never decreasing.
        on_due: called with the time at which ``advance`` has to be called next. Several calls
            may ask for several times; only the earliest counts.
        ordered: whether messages with an ordering key keep their order.
        ledger: where every change of the set of messages and every failed attempt is reported.

    ``acknowledge`` and ``modify_ack_deadlines`` are best effort, as the service documents for
    subscriptions without exactly-once delivery: a late acknowledgement, or one with the ack id of
    an earlier delivery, still counts, unless the order of the messages forbids it; one for a
    message that is gone does nothing. With exactly-once delivery, ``acknowledge_exactly`` and
    ``modify_exactly`` accept only ids of current leases, and report which they accepted.
    """

    def __init__(
        self,
        tag: str,
        clock: Callable[[], float],
        on_due: Callable[[float], None],
        *,
        ordered: bool = False,
        ledger: Ledger = NO_LEDGER,
    ) -> None:
        self.ack_ids = AckIds(tag)
        self.exactly_once = False
        self.ledger = ledger
        self._clock = clock
        self._on_due = on_due
        self._queue: Queue = OrderedQueue() if ordered else UnorderedQueue()
        self._consumers = ConsumerRing()
        self._leases = Leases(clock, self._queue, self._consumers, ledger)
        self._closed: Exception | None = None

    def configure(
        self,
        *,
        backoff: Backoff = NO_BACKOFF,
        dead_letters: DeadLetters | None = None,
        exactly_once: bool = False,
    ) -> None:
        """Deliver by these settings from now on."""
        self._leases.backoff = backoff
        self._leases.dead_letters = dead_letters
        self.exactly_once = exactly_once

    @property
    def counts_attempts(self) -> bool:
        """Whether clients see the number of attempts: only with a dead-letter policy.

        (ReceivedMessage in the API reference.)
        """
        return self._leases.dead_letters is not None

    @property
    def waiting(self) -> int:
        """How many messages could be taken now."""
        return len(self._queue)

    @property
    def consumed(self) -> bool:
        """Whether there is a consumer."""
        return len(self._consumers) > 0

    def unacknowledged(self) -> list[StoredMessage]:
        """Every message that is not acknowledged, in the order of publishing."""
        found = {message.id: message for message in self._queue.messages()}
        found.update((each.message.id, each.message) for each in self._leases)
        return [found[number] for number in sorted(found)]

    def redeliverable(self) -> list[StoredMessage]:
        """Every message that may be delivered again, in the order of publishing.

        That is each unacknowledged message, and each that was acknowledged while an earlier message
        of its ordering key is not.
        """
        found = [*self.unacknowledged(), *self._queue.kept()]
        return sorted(found, key=lambda message: message.id)

    def deliveries(self) -> list[Delivery]:
        """The messages that were delivered and are not acknowledged, leased or not."""
        return list(self._leases)

    def census(self) -> Census:
        """Count the messages; takes time for each that was delivered."""
        leased = sum(each.leased for each in self._leases)
        times = [each.message.publish_time for each in self._leases]
        if (oldest := self._queue.oldest()) is not None:
            times.append(oldest)
        waiting = self._queue.new + len(self._leases) - leased
        return Census(len(self._consumers), waiting, leased, min(times, default=None))

    def publish(self, messages: Sequence[StoredMessage]) -> None:
        """Add new messages behind those that wait."""
        self._queue.extend(messages)
        self.ledger.published(messages)
        self._wake_next()

    def restore(self, messages: Iterable[StoredMessage], attempts: dict[int, int]) -> None:
        """Begin with the messages that an earlier server kept, in the order of publishing.

        ``attempts`` has the next attempt of some message ids; that of all others is the first.
        """
        self._queue.extend(messages)
        self._leases.restore(attempts)

    def replace(self, messages: Sequence[StoredMessage]) -> None:
        """Make ``messages``, in the order of publishing, the ones that are not acknowledged.

        All of them are available at once, as if they had never been delivered: every lease and
        backoff ends, and every earlier ack id is void.
        """
        self._leases.void()
        self._queue.clear()
        self.ack_ids = self.ack_ids.of_next_era()
        self._queue.extend(messages)
        self.ledger.replaced([message.id for message in messages])
        self._wake_next()

    def drop_older(self, publish_time: int) -> None:
        """Forget messages that were published before a time (microseconds since the epoch)."""
        # They were first delivered roughly in the order of publishing: the oldest come first.
        old = takewhile(lambda delivery: delivery.message.publish_time < publish_time, self._leases)
        for delivery in sorted(old, key=lambda delivery: delivery.message.id):
            self._leases.remove(delivery)
        self.ledger.removed(self._queue.drop_older(publish_time))
        self._wake_next()

    def check_open(self) -> None:
        """Raise the reason if the backlog is closed."""
        if self._closed is not None:
            raise self._closed

    def attach(self, consumer: Consumer) -> None:
        """Let ``consumer`` take messages. Raises the reason if the backlog is closed."""
        self.check_open()
        self._consumers.attach(consumer)

    def detach(self, consumer: Consumer) -> None:
        """Forget ``consumer``; what its client has received stays leased until its deadline."""
        if self._closed is not None:
            return
        self._consumers.detach(consumer)
        self._queue.detach(consumer)
        self._leases.consumer_left(consumer)
        self._request_advance()
        # It may have been woken for messages that wait now.
        self._wake_next()

    def take(self, consumer: Consumer, max_messages: int, max_bytes: int) -> list[Delivery]:
        """Lease messages to ``consumer``: as many as its flow control and the limits admit.

        The first message counts whatever its size. Where other consumers are idle, it gets no
        more than its share. If the list is empty, the consumer is parked, and its ``on_ready`` is
        called when it should try again. Raises the reason if the backlog is closed.
        """
        self.check_open()
        sharers = 1 + self._consumers.idle
        limit = min(max_messages, -(-len(self._queue) // sharers))
        batch = self._leases.begin(consumer, limit, max_bytes)
        if batch:
            self._request_advance()
        else:
            self._consumers.park(consumer, blocked=self._queue.head(consumer) is not None)
        self._wake_next()
        return batch

    def release(self, consumer: Consumer, batch: Iterable[Delivery]) -> None:
        """Undo a ``take`` of ``consumer`` whose messages were never sent.

        They are the next to be delivered, and it does not count as an attempt. Those
        acknowledged, or past their deadline, in the meantime are ignored.
        """
        if self._closed is not None:
            return
        self._leases.release(each for each in batch if each.consumer is consumer)
        self._wake_next()

    def set_aside(self, deliveries: Iterable[Delivery]) -> None:
        """Forget leased messages whose bytes are damaged, and which cannot be delivered.

        The ledger keeps them: the next start examines them again.
        """
        for delivery in deliveries:
            self._leases.set_aside(delivery)
        self._wake_next()

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Acknowledge messages. Raises ``MalformedAckIdError``; nothing is acknowledged then."""
        for named in self.ack_ids.parse(ack_ids):
            delivery = self._leases.get(named[0]) if named else None
            if delivery is None:
                continue
            # A leased message may be acknowledged before earlier ones. A late ack of one that
            # waits may not: it would leave a gap where all of them are redelivered.
            if self._leases.current(named) is not None or self._queue.in_turn(delivery):
                self._leases.acknowledge(delivery)
        self._wake_next()

    def acknowledge_exactly(self, ack_ids: Iterable[str]) -> Outcome:
        """Acknowledge the messages that are leased, those of an ordering key only in order."""
        outcome = Outcome()
        for named, ack_id in sorted((self.ack_ids.read(ack_id), ack_id) for ack_id in ack_ids):
            delivery = self._leases.current(named)
            if delivery is None:
                outcome.invalid.append(ack_id)
            elif self._queue.in_turn(delivery):
                self._leases.acknowledge(delivery)
                outcome.done.append(ack_id)
            else:
                outcome.unordered.append(ack_id)
        self._wake_next()
        return outcome

    def modify_ack_deadlines(self, ack_ids: Iterable[str], seconds: Iterable[float]) -> None:
        """Let each lease last for its ``seconds`` from now, or end it with 0 (a nack).

        Ids whose lease is over are ignored. Raises ``MalformedAckIdError``; nothing is changed
        then.
        """
        now = self._clock()
        for named, deadline in zip(self.ack_ids.parse(ack_ids), seconds, strict=True):
            delivery = self._leases.current(named)
            if delivery is not None:
                self._leases.modify(delivery, deadline, now)
        self._request_advance()
        self._wake_next()

    def modify_exactly(self, ack_ids: Sequence[str], seconds: Sequence[float]) -> Outcome:
        """Like ``modify_ack_deadlines``, and report which leases were current."""
        outcome = Outcome()
        now = self._clock()
        # Looked up first: the nack of one message ends the leases of its followers.
        found = [self._leases.current(self.ack_ids.read(ack_id)) for ack_id in ack_ids]
        for ack_id, delivery, deadline in zip(ack_ids, found, seconds, strict=True):
            if delivery is None:
                outcome.invalid.append(ack_id)
                continue
            outcome.done.append(ack_id)
            if delivery.leased:
                self._leases.modify(delivery, deadline, now)
        self._request_advance()
        self._wake_next()
        return outcome

    def advance(self) -> None:
        """Make the messages available whose ack deadline passed or whose backoff is over."""
        self._leases.advance()
        self._request_advance()
        self._wake_next()

    def close(self, reason: Exception) -> None:
        """Forget every message and end every consumer with ``reason``."""
        self._closed = reason
        self._queue.clear()
        self._leases.clear()
        self._consumers.close(reason)

    def _request_advance(self) -> None:
        due = self._leases.next_due()
        if due is not None:
            self._on_due(due)

    def _wake_next(self) -> None:
        head = self._queue.head(None)
        if head is not None:
            self._consumers.wake_next(head.size)
        for consumer, size in self._queue.reserved():
            self._consumers.wake(consumer, size)
