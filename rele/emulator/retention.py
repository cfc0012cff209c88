"""Messages that are kept so that a seek can bring them back."""

from collections import deque
from collections.abc import Iterable, Iterator

from rele.emulator.messages import StoredMessage


class RetentionLog:
    """Messages in the order of publishing, acknowledged or not. Times are in microseconds."""

    def __init__(self, messages: Iterable[StoredMessage] = ()) -> None:
        self._messages = deque(messages)

    def __len__(self) -> int:
        return len(self._messages)

    def extend(self, messages: Iterable[StoredMessage]) -> None:
        """Add newly published messages."""
        self._messages.extend(messages)

    def since(self, publish_time: int) -> Iterator[StoredMessage]:
        """What was published at a time or later."""
        return (message for message in self._messages if message.publish_time >= publish_time)

    def drop_older(self, publish_time: int) -> None:
        """Forget what was published before a time."""
        while self._messages and self._messages[0].publish_time < publish_time:
            self._messages.popleft()
