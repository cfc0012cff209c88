"""The queue of a subscription whose messages with an ordering key keep their order."""

from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.keyed_queue import KeyedQueue, Lane
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.queue import Queue
from rele.emulator.delivery.unordered_queue import UnorderedQueue


class OrderedQueue(Queue):
    """Messages with an ordering key in one queue, those without in another; the two take turns."""

    def __init__(self) -> None:
        self._keyed = KeyedQueue()
        self._keyless = UnorderedQueue()
        self._keyed_next = True

    def __len__(self) -> int:
        return len(self._keyed) + len(self._keyless)

    @property
    def new(self) -> int:
        return self._keyed.new + self._keyless.new

    def oldest(self) -> int | None:
        times = (self._keyed.oldest(), self._keyless.oldest())
        return min((time for time in times if time is not None), default=None)

    def messages(self) -> Iterator[StoredMessage]:
        yield from self._keyless.messages()
        yield from self._keyed.messages()

    def kept(self) -> Iterable[StoredMessage]:
        return self._keyed.kept()

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        messages = tuple(messages)
        self._keyed.extend(each for each in messages if each.ordering_key)
        self._keyless.extend(each for each in messages if not each.ordering_key)

    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        lane = self._keyed_lane(consumer)
        return lane.head() if lane else self._keyless.head(consumer)

    def pop(self, consumer: Consumer) -> Delivery:
        lane = self._keyed_lane(consumer)
        self._keyed_next = lane is None
        return self._keyed.pop_from(lane, consumer) if lane else self._keyless.pop(consumer)

    def reserved(self) -> Iterable[tuple[Consumer, int]]:
        return self._keyed.reserved()

    def detach(self, consumer: Consumer) -> None:
        self._keyed.detach(consumer)

    def take_back(self, delivery: Delivery) -> Sequence[Delivery]:
        return self._part_of(delivery).take_back(delivery)

    def put_back(self, delivery: Delivery) -> None:
        self._part_of(delivery).put_back(delivery)

    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        for part in (self._keyed, self._keyless):
            part.put_back_unsent([each for each in deliveries if self._part_of(each) is part])

    def in_turn(self, delivery: Delivery) -> bool:
        return self._part_of(delivery).in_turn(delivery)

    def remove(self, delivery: Delivery) -> Iterable[int]:
        return self._part_of(delivery).remove(delivery)

    def drop_older(self, publish_time: int) -> list[int]:
        return self._keyed.drop_older(publish_time) + self._keyless.drop_older(publish_time)

    def clear(self) -> None:
        self._keyed.clear()
        self._keyless.clear()

    def _part_of(self, delivery: Delivery) -> Queue:
        return self._keyed if delivery.message.ordering_key else self._keyless

    def _keyed_lane(self, consumer: Consumer | None) -> Lane | None:
        """Where the next message for ``consumer`` is, unless it is one without an ordering key."""
        if not self._keyed_next and len(self._keyless):
            return None
        return self._keyed.next_lane(consumer)
