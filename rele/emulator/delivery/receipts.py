"""Which of a consumer's messages its client is known to have received."""

GRACE_SECONDS = 0.5
"""How long after the end of a stream a receipt may still arrive."""


class Receipts:
    """Distinguishes messages that a client handles from those lost when its stream ended.

    A client whose stream ends continues to handle the messages it has received, and acknowledges
    them later: redelivering these would make duplicates. But messages that were in transit, or
    unread in the client's buffers, are never acknowledged. Google's client libraries extend the
    deadline of each message as soon as they have read it. So if a client extends deadlines, and
    never acknowledges a message without extending it first, then it has not received the messages
    that it did not extend.

    Messages are named by their id. Nothing is known about other clients: theirs stay leased.
    """

    __slots__ = ("_confirms", "_ended", "_skips", "_unconfirmed")

    def __init__(self) -> None:
        # A dict for its order: lost messages are released in the order in which they were sent.
        self._unconfirmed: dict[int, None] = {}
        self._confirms = False
        self._skips = False
        self._ended = False

    def sent(self, message_id: int) -> None:
        """Note that a message is sent to the client."""
        self._unconfirmed[message_id] = None

    def extended(self, message_id: int) -> None:
        """Note that the client extended the deadline of a message."""
        if message_id in self._unconfirmed:
            del self._unconfirmed[message_id]
            self._confirms = True

    def acknowledged(self, message_id: int) -> None:
        """Note that the client acknowledged a message."""
        if message_id in self._unconfirmed:
            del self._unconfirmed[message_id]
            self._skips = True

    def over(self, message_id: int) -> None:
        """Note that the lease of a message ended."""
        self._unconfirmed.pop(message_id, None)

    def end(self) -> list[int]:
        """Note that the stream ended, and return the ids of the messages that seem to be lost."""
        self._ended = self._confirms and not self._skips
        return list(self._unconfirmed) if self._ended else []

    def is_lost(self, message_id: int) -> bool:
        """Whether the stream ended and the message never reached the client."""
        return self._ended and message_id in self._unconfirmed
