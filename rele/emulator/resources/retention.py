"""Messages that are retained so that a seek can redeliver them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from rele.emulator.delivery.ledger import NO_LEDGER, Ledger
from rele.emulator.delivery.message import StoredMessage


class RetentionLog:
    """Messages in the order of publishing, acknowledged or not. Times are in microseconds."""

    def __init__(self, ledger: Ledger = NO_LEDGER, messages: Iterable[StoredMessage] = ()) -> None:
        self.ledger = ledger
        self._messages = deque(messages)

    def __len__(self) -> int:
        return len(self._messages)

    def fill(self, messages: Sequence[StoredMessage]) -> None:
        """Replace all messages by these."""
        self._messages = deque(messages)
        self.ledger.replaced([message.id for message in messages])

    def extend(self, messages: Sequence[StoredMessage]) -> None:
        """Add newly published messages."""
        self._messages.extend(messages)
        self.ledger.published(messages)

    def since(self, publish_time: int) -> Iterator[StoredMessage]:
        """What was published at a time or later."""
        return (message for message in self._messages if message.publish_time >= publish_time)

    def drop_older(self, publish_time: int) -> None:
        """Forget what was published before a time."""
        dropped = []
        while self._messages and self._messages[0].publish_time < publish_time:
            dropped.append(self._messages.popleft().id)
        self.ledger.removed(dropped)
