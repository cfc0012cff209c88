"""The queue of messages without an order among them."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.queue import Queue


class UnorderedQueue(Queue):
    """New messages in the order of publishing, and messages to be redelivered.

    The two take turns, so that neither a large backlog delays a redelivery nor a message that is
    nacked again and again delays new ones. Both are preceded by messages that were popped and
    never sent. Every operation takes constant time for each message.
    """

    def __init__(self) -> None:
        self._new: deque[StoredMessage] = deque()
        self._returned: OrderedDict[int, Delivery] = OrderedDict()
        self._unsent: OrderedDict[int, Delivery] = OrderedDict()
        self._returned_next = True

    def __len__(self) -> int:
        return len(self._new) + len(self._returned) + len(self._unsent)

    @property
    def new(self) -> int:
        return len(self._new)

    def oldest(self) -> int | None:
        return self._new[0].publish_time if self._new else None

    def messages(self) -> Iterator[StoredMessage]:
        yield from self._new
        for lane in (self._returned, self._unsent):
            for delivery in lane.values():
                yield delivery.message

    def kept(self) -> Iterable[StoredMessage]:
        """None: an acknowledged message is never redelivered."""
        return ()

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        self._new.extend(messages)

    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        lane = self._next_lane()
        if lane is not None:
            return next(iter(lane.values())).message
        return self._new[0] if self._new else None

    def pop(self, consumer: Consumer) -> Delivery:
        lane = self._next_lane()
        if lane is not None:
            if lane is self._returned:
                self._returned_next = False
            return lane.popitem(last=False)[1]
        self._returned_next = True
        return Delivery(self._new.popleft())

    def reserved(self) -> Iterable[tuple[Consumer, int]]:
        """None: any consumer may get any message."""
        return ()

    def detach(self, consumer: Consumer) -> None:
        """Nothing to note: no message waits for a certain consumer."""

    def take_back(self, delivery: Delivery) -> Sequence[Delivery]:
        """None: no message follows another one."""
        return ()

    def put_back(self, delivery: Delivery) -> None:
        self._returned[delivery.message.id] = delivery

    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in reversed(deliveries):
            self._unsent[delivery.message.id] = delivery
            self._unsent.move_to_end(delivery.message.id, last=False)

    def in_turn(self, delivery: Delivery) -> bool:
        """Always: messages are acknowledged in any order."""
        return True

    def remove(self, delivery: Delivery) -> Iterable[int]:
        number = delivery.message.id
        if not delivery.leased:
            self._returned.pop(number, None)
            self._unsent.pop(number, None)
        return (number,)

    def drop_older(self, publish_time: int) -> list[int]:
        dropped = []
        while self._new and self._new[0].publish_time < publish_time:
            dropped.append(self._new.popleft().id)
        return dropped

    def clear(self) -> None:
        self._new.clear()
        self._returned.clear()
        self._unsent.clear()

    def _next_lane(self) -> "OrderedDict[int, Delivery] | None":
        """Where the next message is popped from, or None: it is a new one, if there is any."""
        if self._unsent:
            return self._unsent
        if self._returned and (self._returned_next or not self._new):
            return self._returned
        return None
