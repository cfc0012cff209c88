"""The consumers of one subscription, and whose turn it is."""

from collections import deque
from collections.abc import Callable

from rele.emulator.delivery.receipts import Receipts


class FlowControl:
    """How many messages and bytes may be outstanding at a consumer at once.

    A limit of zero or less means none (StreamingPullRequest in the API reference). A message
    larger than the byte limit is admitted alone: otherwise it could never be delivered.
    """

    __slots__ = ("bytes", "max_bytes", "max_messages", "messages")

    def __init__(self, max_messages: int = 0, max_bytes: int = 0) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.messages = 0
        self.bytes = 0

    def admits(self, size: int) -> bool:
        """Whether a message of ``size`` bytes may be added."""
        if 0 < self.max_messages <= self.messages:
            return False
        return not (0 < self.max_bytes < self.bytes + size and self.messages)

    def add(self, size: int) -> None:
        self.messages += 1
        self.bytes += size

    def remove(self, size: int) -> None:
        self.messages -= 1
        self.bytes -= size


class Consumer:
    """One open stream, or one waiting Pull, of a subscription.

    ``ack_deadline`` is in seconds and applies to messages delivered to this consumer. ``on_ready``
    is called when there may be something to take, ``on_closed`` with the reason when the
    subscription ends; both must return at once.
    """

    __slots__ = ("ack_deadline", "attached", "blocked", "flow", "on_closed", "on_ready", "receipts")

    def __init__(
        self,
        flow: FlowControl,
        ack_deadline: float,
        on_ready: Callable[[], None],
        on_closed: Callable[[Exception], None],
    ) -> None:
        self.flow = flow
        self.ack_deadline = ack_deadline
        self.on_ready = on_ready
        self.on_closed = on_closed
        self.attached = False
        self.blocked = False
        self.receipts = Receipts()


class ConsumerRing:
    """The consumers of one subscription, the idle ones in the order of their turns.

    A consumer that found nothing is parked: *idle* if nothing was waiting, *blocked* if its flow
    control did not admit what was. A blocked one costs nothing until it has room again.
    """

    def __init__(self) -> None:
        self._all: set[Consumer] = set()
        self._idle: deque[Consumer] = deque()

    def __len__(self) -> int:
        return len(self._all)

    def attach(self, consumer: Consumer) -> None:
        self._all.add(consumer)
        consumer.attached = True

    def detach(self, consumer: Consumer) -> None:
        self._all.discard(consumer)
        consumer.attached = False
        consumer.blocked = False
        if consumer in self._idle:
            self._idle.remove(consumer)

    @property
    def idle(self) -> int:
        """How many consumers would take the next message, flow control permitting."""
        return len(self._idle)

    def park(self, consumer: Consumer, *, blocked: bool) -> None:
        """Note that ``consumer`` took nothing and waits to be woken."""
        if consumer not in self._all:
            return
        consumer.blocked = blocked
        if not blocked and consumer not in self._idle:
            self._idle.append(consumer)

    def made_room(self, consumer: Consumer) -> None:
        """Note that one of ``consumer``'s leases ended."""
        if consumer.blocked:
            self.park(consumer, blocked=False)

    def wake_next(self, size: int) -> None:
        """Wake the next idle consumer that a message of ``size`` bytes can go to, if any."""
        while self._idle:
            consumer = self._idle.popleft()
            if consumer.flow.admits(size):
                consumer.on_ready()
                return
            consumer.blocked = True

    def wake(self, consumer: Consumer, size: int) -> None:
        """Wake ``consumer`` if it is idle and a message of ``size`` bytes can go to it."""
        if consumer not in self._idle:
            return
        self._idle.remove(consumer)
        if consumer.flow.admits(size):
            consumer.on_ready()
        else:
            consumer.blocked = True

    def close(self, reason: Exception) -> None:
        """End every consumer with ``reason``, and forget them."""
        consumers, self._all = self._all, set()
        self._idle.clear()
        for consumer in consumers:
            consumer.on_closed(reason)
