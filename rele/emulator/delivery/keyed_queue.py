"""The queue of messages with an ordering key.

The rules are those of "Order messages" in the Pub/Sub documentation. Of one key:

* messages are delivered in the order of publishing, and while some are leased, further ones are
  delivered to the same consumer only (never to a Pull, which ends with its response);
* a redelivered message is followed by all later ones of its key, acknowledged ones included. So
  an acknowledged message is kept for as long as an earlier one is not acknowledged.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.queue import Queue


class _Key:
    """The messages of one ordering key.

    ``sent`` are leased, or acknowledged after one that is leased; the first of them is leased.
    ``leased`` counts those that are. ``waiting`` come after them. ``owner`` is the consumer that
    leases them. ``lane`` is where the key waits for its next message to be taken, or None while
    nobody may take it.
    """

    __slots__ = ("lane", "leased", "name", "owner", "sent", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: deque[Delivery] = deque()
        self.leased = 0
        self.waiting: deque[StoredMessage | Delivery] = deque()
        self.owner: Consumer | None = None
        self.lane: Lane | None = None

    def head(self) -> StoredMessage:
        first = self.waiting[0]
        return first.message if isinstance(first, Delivery) else first

    def is_delayed(self) -> bool:
        """Whether the first message waits for its backoff."""
        first = self.waiting[0]
        return isinstance(first, Delivery) and first.due is not None


class Lane(OrderedDict[str, _Key]):
    """Keys whose next message may be taken, in the order of their turns."""

    def first(self) -> _Key:
        """The key whose turn it is."""
        return next(iter(self.values()))

    def head(self) -> StoredMessage:
        """The next message of that key."""
        return self.first().head()


class KeyedQueue(Queue):
    """A lane of keys that any consumer may take from, and a lane for each owner.

    Keys take turns. Every operation takes constant time for each message that it is about.
    """

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._free = Lane()
        self._owned: dict[Consumer, Lane] = {}
        self._free_next = True
        self._length = 0
        self._new = 0

    def __len__(self) -> int:
        return self._length

    @property
    def new(self) -> int:
        return self._new

    def oldest(self) -> int | None:
        times = (key.head().publish_time for key in self._keys.values() if key.waiting)
        return min(times, default=None)

    def messages(self) -> Iterator[StoredMessage]:
        for key in self._keys.values():
            for each in key.waiting:
                yield each.message if isinstance(each, Delivery) else each

    def kept(self) -> Iterable[StoredMessage]:
        for key in self._keys.values():
            yield from (each.message for each in key.sent if each.acknowledged)

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        for message in messages:
            key = self._keys.get(message.ordering_key)
            if key is None:
                key = self._keys[message.ordering_key] = _Key(message.ordering_key)
            key.waiting.append(message)
            self._length += 1
            self._new += 1
            if len(key.waiting) == 1:
                self._place(key)

    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        lane = self.next_lane(consumer)
        return lane.head() if lane else None

    def pop(self, consumer: Consumer) -> Delivery:
        lane = self.next_lane(consumer)
        if lane is None:
            raise IndexError("There is no message for this consumer.")
        return self.pop_from(lane, consumer)

    def pop_from(self, lane: Lane, consumer: Consumer) -> Delivery:
        """Remove and return the next message of ``lane`` for ``consumer``."""
        self._free_next = lane is not self._free
        key = lane.first()
        self._leave_lane(key)
        first = key.waiting.popleft()
        self._length -= 1
        if isinstance(first, Delivery):
            delivery = first
        else:
            delivery = Delivery(first)
            self._new -= 1
        key.sent.append(delivery)
        key.leased += 1
        key.owner = consumer
        self._place(key)
        return delivery

    def next_lane(self, consumer: Consumer | None) -> Lane | None:
        """The lane that the next message for ``consumer`` is in, if there is one."""
        owned = self._owned.get(consumer) if consumer is not None else None
        if owned and not (self._free and self._free_next):
            return owned
        return self._free or None

    def reserved(self) -> Iterable[tuple[Consumer, int]]:
        return [(owner, lane.head().size) for owner, lane in self._owned.items()]

    def detach(self, consumer: Consumer) -> None:
        for key in self._owned.pop(consumer, Lane()).values():
            key.lane = None

    def take_back(self, delivery: Delivery) -> Sequence[Delivery]:
        key = self._key_of(delivery)
        followers = []
        while True:
            last = key.sent.pop()
            key.leased -= not last.acknowledged
            last.acknowledged = False
            key.waiting.appendleft(last)
            self._length += 1
            if last is delivery:
                break
            followers.append(last)
        self._leave_lane(key)
        return followers

    def put_back(self, delivery: Delivery) -> None:
        self._place(self._key_of(delivery))

    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._place(self._key_of(delivery))

    def in_turn(self, delivery: Delivery) -> bool:
        key = self._key_of(delivery)
        return (key.sent or key.waiting)[0] is delivery

    def remove(self, delivery: Delivery) -> Iterable[int]:
        key = self._key_of(delivery)
        gone = [delivery.message.id]
        if delivery.leased:
            gone = self._acknowledge(key, delivery)
        elif key.waiting and key.waiting[0] is delivery:
            key.waiting.popleft()
            self._length -= 1
        self._place(key)
        return gone

    def drop_older(self, publish_time: int) -> list[int]:
        dropped: list[int] = []
        for key in tuple(self._keys.values()):
            while key.waiting and not isinstance(key.waiting[0], Delivery):
                if key.waiting[0].publish_time >= publish_time:
                    break
                dropped.append(key.waiting[0].id)
                key.waiting.popleft()
            self._place(key)
        self._length -= len(dropped)
        self._new -= len(dropped)
        return dropped

    def clear(self) -> None:
        self._keys.clear()
        self._free.clear()
        self._owned.clear()
        self._length = 0
        self._new = 0

    def _key_of(self, delivery: Delivery) -> _Key:
        return self._keys[delivery.message.ordering_key]

    def _acknowledge(self, key: _Key, delivery: Delivery) -> list[int]:
        """Note an acknowledgement; returns the ids that can no longer be redelivered."""
        delivery.acknowledged = True
        key.leased -= 1
        gone = []
        while key.sent and key.sent[0].acknowledged:
            gone.append(key.sent.popleft().message.id)
        return gone

    def _place(self, key: _Key) -> None:
        """File the key where its next message may be taken from, and forget an empty one."""
        lane = self._lane_for(key)
        if lane is not key.lane:
            self._leave_lane(key)
            if lane is not None:
                lane[key.name] = key
                key.lane = lane
        if not key.sent and not key.waiting:
            self._keys.pop(key.name, None)

    def _lane_for(self, key: _Key) -> Lane | None:
        if not key.waiting or key.is_delayed():
            return None
        if not key.leased:
            return self._free
        owner = key.owner
        if owner is None or not owner.attached:
            return None
        return self._owned.setdefault(owner, Lane())

    def _leave_lane(self, key: _Key) -> None:
        lane, key.lane = key.lane, None
        if lane is None:
            return
        del lane[key.name]
        if not lane and lane is not self._free and key.owner is not None:
            self._owned.pop(key.owner, None)
