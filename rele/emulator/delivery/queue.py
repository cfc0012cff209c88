"""The messages of one subscription that wait to be delivered, for the first time or again."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.consumers import Consumer
from rele.emulator.delivery.delivery import Delivery
from rele.emulator.delivery.message import StoredMessage


class Queue(ABC):
    """Which message is delivered next, and to whom.

    A message enters by ``extend`` and leaves by ``pop``, as a delivery that is leased from then
    on. When its lease ends without an acknowledgement, ``take_back`` is called, and ``put_back``
    or ``put_back_unsent`` once it may be delivered again: at once or after its backoff.
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many messages may be delivered, now or once others are acknowledged."""

    @property
    @abstractmethod
    def new(self) -> int:
        """How many messages were never delivered."""

    @abstractmethod
    def oldest(self) -> int | None:
        """When the oldest message was published, in microseconds since the epoch, or None.

        Messages that were delivered before may be left out.
        """

    @abstractmethod
    def messages(self) -> Iterator[StoredMessage]:
        """All that wait, in no order."""

    @abstractmethod
    def kept(self) -> Iterable[StoredMessage]:
        """Acknowledged messages that are redelivered if an earlier one of their key is."""

    @abstractmethod
    def extend(self, messages: Iterable[StoredMessage]) -> None:
        """Add newly published messages."""

    @abstractmethod
    def head(self, consumer: Consumer | None) -> StoredMessage | None:
        """What ``pop`` would return, or None; without a consumer: what any consumer would get."""

    @abstractmethod
    def pop(self, consumer: Consumer) -> Delivery:
        """Remove and return the next message. Raises ``IndexError`` where ``head`` has none."""

    @abstractmethod
    def reserved(self) -> Iterable[tuple[Consumer, int]]:
        """The consumers with messages that no other may take, and the size of each one's next."""

    @abstractmethod
    def detach(self, consumer: Consumer) -> None:
        """Note that a consumer takes no more messages."""

    @abstractmethod
    def take_back(self, delivery: Delivery) -> Sequence[Delivery]:
        """Note that a lease ended without an acknowledgement.

        Returns the deliveries that are redelivered after this one for the sake of the order. None
        of them is delivered before this one is put back.
        """

    @abstractmethod
    def put_back(self, delivery: Delivery) -> None:
        """Let a message be redelivered from now on, after others that wait for that."""

    @abstractmethod
    def put_back_unsent(self, deliveries: Sequence[Delivery]) -> None:
        """Let messages that were popped, but never sent, be the next ones, in this order."""

    @abstractmethod
    def in_turn(self, delivery: Delivery) -> bool:
        """Whether no message that has to be acknowledged before this one is unacknowledged."""

    @abstractmethod
    def remove(self, delivery: Delivery) -> Iterable[int]:
        """Remove a message, leased or not, that is acknowledged or a dead letter, or has expired.

        Returns the ids of the messages that can no longer be redelivered.
        """

    @abstractmethod
    def drop_older(self, publish_time: int) -> list[int]:
        """Drop messages published before a time and never delivered, and return their ids."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything."""
