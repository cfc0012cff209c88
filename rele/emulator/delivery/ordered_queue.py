"""What waits to be handed out where messages with an ordering key keep their order.

The rules are those of "Order messages" in the Pub/Sub documentation. Of one key:

* messages are handed out in the order of publishing, and while some are out, further ones go to
  the same consumer only: a Pull, which is over once it is answered, never comes to get them;
* a message that comes again brings all later ones of its key, acknowledged ones included. So
  an acknowledged message is kept for as long as an earlier one is not acknowledged.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage
from rele.emulator.delivery.unordered_queue import ReadyQueue


class _Key:
    """The messages of one ordering key.

    ``sent`` are out, the first of them not acknowledged; ``leased`` counts those that are not.
    ``waiting`` come after them. ``owner`` is who has the leased ones. ``lane`` is where the key
    waits for its next message to be taken, or None while nobody may take it.
    """

    __slots__ = ("lane", "leased", "name", "owner", "sent", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: deque[Delivery] = deque()
        self.leased = 0
        self.waiting: deque[StoredMessage | Delivery] = deque()
        self.owner: Consumer | None = None
        self.lane: _Lane | None = None

    def head(self) -> StoredMessage:
        first = self.waiting[0]
        return first.message if isinstance(first, Delivery) else first

    def is_delayed(self) -> bool:
        first = self.waiting[0]
        return isinstance(first, Delivery) and first.due is not None


class _Lane(OrderedDict[str, _Key]):
    """Keys whose next message may be taken, in the order of their turns."""


class OrderedQueue(ReadyQueue):
    """A ready queue with a lane of keys that anybody may take from, and one for each owner.

    Keys take turns, and so do messages with and without a key. Every operation takes constant
    time for each message that it is about.
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, _Key] = {}
        self._free: _Lane = _Lane()
        self._owned: dict[Consumer, _Lane] = {}
        self._keyed = 0
        self._keyed_next = True
        self._free_next = True

    def __len__(self) -> int:
        return super().__len__() + self._keyed

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        keyless = []
        for message in messages:
            if not message.ordering_key:
                keyless.append(message)
                continue
            key = self._keys.get(message.ordering_key)
            if key is None:
                key = self._keys[message.ordering_key] = _Key(message.ordering_key)
            key.waiting.append(message)
            self._keyed += 1
            if len(key.waiting) == 1:
                self._place(key)
        super().extend(keyless)

    def put_back(self, delivery: Delivery) -> None:
        key = self._key_of(delivery)
        if key is None:
            super().put_back(delivery)
        else:
            self._place(key)

    def hold(self, delivery: Delivery) -> None:
        key = self._key_of(delivery)
        if key is not None:
            self._place(key)

    def counts_held(self, delivery: Delivery) -> bool:
        return self._key_of(delivery) is not None

    def oldest_new(self) -> int | None:
        times = [key.head().publish_time for key in self._keys.values() if key.waiting]
        if (keyless := super().oldest_new()) is not None:
            times.append(keyless)
        return min(times, default=None)

    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        super().put_back_unsent([each for each in deliveries if not each.message.ordering_key])
        for delivery in deliveries:
            key = self._key_of(delivery)
            if key is not None:
                self._place(key)

    def discard(self, delivery: Delivery) -> None:
        key = self._key_of(delivery)
        if key is None:
            super().discard(delivery)
        elif key.waiting and key.waiting[0] is delivery:
            key.waiting.popleft()
            self._keyed -= 1
            self._place(key)

    def settled(self, delivery: Delivery) -> Iterable[int]:
        key = self._key_of(delivery)
        if key is None:
            return super().settled(delivery)
        delivery.settled = True
        key.leased -= 1
        gone = []
        while key.sent and key.sent[0].settled:
            gone.append(key.sent.popleft().message.id)
        self._place(key)
        return gone

    def is_first(self, delivery: Delivery) -> bool:
        key = self._key_of(delivery)
        if key is None:
            return True
        return (key.sent or key.waiting)[0] is delivery

    def rewind(self, delivery: Delivery) -> list[Delivery]:
        key = self._key_of(delivery)
        if key is None:
            return []
        followers = []
        while True:
            last = key.sent.pop()
            key.leased -= not last.settled
            last.settled = False
            key.waiting.appendleft(last)
            self._keyed += 1
            if last is delivery:
                break
            followers.append(last)
        self._leave_lane(key)
        return followers

    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        lane = self._choose(consumer)
        if lane is None:
            return super().head(consumer)
        return next(iter(lane.values())).head()

    def pop(self, consumer: Consumer) -> Delivery:
        lane = self._choose(consumer)
        if lane is None:
            self._keyed_next = True
            return super().pop(consumer)
        self._keyed_next = False
        self._free_next = lane is not self._free
        key = next(iter(lane.values()))
        self._leave_lane(key)
        first = key.waiting.popleft()
        self._keyed -= 1
        delivery = first if isinstance(first, Delivery) else Delivery(first)
        key.sent.append(delivery)
        key.leased += 1
        key.owner = consumer
        self._place(key)
        return delivery

    def reserved(self) -> list[tuple[Consumer, int]]:
        return [
            (owner, next(iter(lane.values())).head().size) for owner, lane in self._owned.items()
        ]

    def forget(self, consumer: Consumer) -> None:
        for key in self._owned.pop(consumer, _Lane()).values():
            key.lane = None

    def messages(self) -> Iterator[StoredMessage]:
        yield from super().messages()
        for key in self._keys.values():
            for each in key.waiting:
                yield each.message if isinstance(each, Delivery) else each

    def drop_older(self, publish_time: int) -> list[int]:
        dropped = super().drop_older(publish_time)
        for key in tuple(self._keys.values()):
            while key.waiting and not isinstance(key.waiting[0], Delivery):
                if key.waiting[0].publish_time >= publish_time:
                    break
                dropped.append(key.waiting[0].id)
                key.waiting.popleft()
                self._keyed -= 1
            self._place(key)
        return dropped

    def clear(self) -> None:
        super().clear()
        self._keys.clear()
        self._free.clear()
        self._owned.clear()
        self._keyed = 0

    def _key_of(self, delivery: Delivery) -> _Key | None:
        return self._keys.get(delivery.message.ordering_key)

    def _choose(self, consumer: Consumer | None) -> _Lane | None:
        """The lane that the next message for ``consumer`` comes from; None: one without a key."""
        owned = self._owned.get(consumer) if consumer is not None else None
        if not (owned or self._free) or (not self._keyed_next and super().__len__()):
            return None
        if owned and self._free:
            return self._free if self._free_next else owned
        return owned or self._free

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

    def _lane_for(self, key: _Key) -> _Lane | None:
        if not key.waiting or key.is_delayed():
            return None
        if not key.leased:
            return self._free
        owner = key.owner
        if owner is None or not owner.attached:
            return None
        return self._owned.setdefault(owner, _Lane())

    def _leave_lane(self, key: _Key) -> None:
        lane, key.lane = key.lane, None
        if lane is None:
            return
        del lane[key.name]
        if not lane and lane is not self._free and key.owner is not None:
            self._owned.pop(key.owner, None)
