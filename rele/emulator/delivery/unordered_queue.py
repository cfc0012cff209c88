"""What waits to be handed out."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage


class ReadyQueue:
    """The waiting messages of one subscription: new ones in publish order, and returned ones.

    The two take turns, so that neither a large backlog delays a redelivery nor a message that is
    refused again and again keeps new ones from coming. Before both go messages that were taken
    and never sent. Every operation takes constant time for each message.

    All messages are the same to it, and all consumers; ``OrderedQueue`` keeps some messages back
    for some consumers, and several methods are here for its sake.
    """

    def __init__(self) -> None:
        self._new: deque[StoredMessage] = deque()
        self._returned: OrderedDict[int, Delivery] = OrderedDict()
        self._unsent: OrderedDict[int, Delivery] = OrderedDict()
        self._returned_next = True

    def __len__(self) -> int:
        return len(self._new) + len(self._returned) + len(self._unsent)

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        """Add newly published messages."""
        self._new.extend(messages)

    def put_back(self, delivery: Delivery) -> None:
        """Add a message that was handed out before, behind the other returned ones."""
        self._returned[delivery.message.id] = delivery

    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        """Add messages that were taken but never sent, as the next ones, in their order."""
        for delivery in reversed(deliveries):
            self._unsent[delivery.message.id] = delivery
            self._unsent.move_to_end(delivery.message.id, last=False)

    def hold(self, delivery: Delivery) -> None:
        """Note that a message that was handed out before waits until it is put back."""

    def counts_held(self, delivery: Delivery) -> bool:
        """Whether a message that is held back counts in the length."""
        return False

    def oldest_new(self) -> int | None:
        """When the oldest message that was never handed out was published, if there is one.

        In microseconds since the epoch.
        """
        return self._new[0].publish_time if self._new else None

    def discard(self, delivery: Delivery) -> None:
        """Remove a message that waits again, if it is still here; it has to be ``is_first``."""
        self._returned.pop(delivery.message.id, None)
        self._unsent.pop(delivery.message.id, None)

    def settled(self, delivery: Delivery) -> Iterable[int]:
        """Note that a message that is out was acknowledged.

        Returns the ids of those that never come again because of it.
        """
        return (delivery.message.id,)

    def is_first(self, delivery: Delivery) -> bool:
        """Whether no message that comes before this one is unacknowledged."""
        return True

    def rewind(self, delivery: Delivery) -> Sequence[Delivery]:
        """The messages that come again because ``delivery``, which was out, does.

        It and they are kept back until it is put back or held.
        """
        return ()

    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        """What ``pop`` would give, or None; without a consumer, what any one would get."""
        put_back = self._next_put_back()
        if put_back is not None:
            return next(iter(put_back.values())).message
        return self._new[0] if self._new else None

    def pop(self, consumer: Consumer) -> Delivery:
        """Remove and return the next message. Raises ``IndexError`` where there is none."""
        put_back = self._next_put_back()
        if put_back is not None:
            if put_back is self._returned:
                self._returned_next = False
            return put_back.popitem(last=False)[1]
        self._returned_next = True
        return Delivery(self._new.popleft())

    def reserved(self) -> Sequence[tuple[Consumer, int]]:
        """The consumers that something waits for that no other gets, and the size of the first."""
        return ()

    def forget(self, consumer: Consumer) -> None:
        """Note that a consumer takes nothing any more."""

    def messages(self) -> Iterator[StoredMessage]:
        """All that wait, in no order."""
        yield from self._new
        for put_back in (self._returned, self._unsent):
            for delivery in put_back.values():
                yield delivery.message

    def drop_older(self, publish_time: int) -> list[int]:
        """Drop messages that were published before a time and never handed out: their ids."""
        dropped = []
        while self._new and self._new[0].publish_time < publish_time:
            dropped.append(self._new.popleft().id)
        return dropped

    def clear(self) -> None:
        """Forget everything."""
        self._new.clear()
        self._returned.clear()
        self._unsent.clear()

    def _next_put_back(self) -> "OrderedDict[int, Delivery] | None":
        if self._unsent:
            return self._unsent
        if self._returned and (self._returned_next or not self._new):
            return self._returned
        return None
