"""Which of a consumer's messages its client is known to have received."""

GRACE_SECONDS = 0.5
"""How long after the end of a stream a receipt may still be under way."""


class Receipts:
    """What tells messages in work from messages that were lost when a stream ended.

    A client whose stream ends goes on with what it has, and acknowledges it afterwards: giving
    that to another one would make duplicates. But what was still on its way, or unread in the
    client's buffers, nobody will ever acknowledge. Google's client libraries extend a message's
    deadline as soon as they have read it, before anything else: for a client that is seen to do
    so, and never to acknowledge a message that it did not extend, a message that it did not
    extend has not reached it.

    Messages are named by their id. Of any other client nothing is known.
    """

    __slots__ = ("_confirms", "_ended", "_skips", "_unconfirmed")

    def __init__(self) -> None:
        # A dict for its order: what is lost is given back as it came.
        self._unconfirmed: dict[int, None] = {}
        self._confirms = False
        self._skips = False
        self._ended = False

    def sent(self, message_id: int) -> None:
        """Note that a message goes out to the client."""
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
        """Note that the message is no longer the client's."""
        self._unconfirmed.pop(message_id, None)

    def end(self) -> list[int]:
        """Note that the stream ended, and return what seems to be lost."""
        self._ended = self._confirms and not self._skips
        return list(self._unconfirmed) if self._ended else []

    def is_lost(self, message_id: int) -> bool:
        """Whether the stream ended and the message never reached the client."""
        return self._ended and message_id in self._unconfirmed
