"""How much may be outstanding. No clock, no thread."""

from __future__ import annotations


class Bounds:
    """Counts what is outstanding: exactly in the sender, by an estimate in all other threads.

    A thread that hands messages over adds them to the estimate without a lock, so that of two
    simultaneous additions one may be lost. The sender corrects the estimate each time it has taken
    what was handed over. So the limits may be exceeded by about one message of each thread.

    Args:
        max_messages: how many messages may be outstanding.
        max_bytes: how many bytes these may have.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.estimate = (0, 0)
        """The number of outstanding messages, and their bytes."""
        self._messages = 0
        self._bytes = 0

    def is_small(self, messages: int, size: int) -> bool:
        """Whether so many messages take so little of the limits that they soon have room together.

        More of them might wait until nothing else is outstanding.
        """
        return messages <= max(self.max_messages // 4, 1) and size <= self.max_bytes // 4

    def has_room(self, messages: int, size: int) -> bool:
        """Whether so many messages, with so many bytes, may be handed over now.

        If nothing is outstanding, anything may be: otherwise a message above the limit could never
        be sent.
        """
        outstanding, outstanding_bytes = self.estimate
        return not outstanding or (
            outstanding + messages <= self.max_messages
            and outstanding_bytes + size <= self.max_bytes
        )

    def admit(self, messages: int, size: int) -> bool:
        """Add to the estimate what a thread is about to hand over, if there is room for it."""
        outstanding, outstanding_bytes = self.estimate
        if outstanding and (
            outstanding + messages > self.max_messages or outstanding_bytes + size > self.max_bytes
        ):
            return False
        self.estimate = (outstanding + messages, outstanding_bytes + size)
        return True

    def take(self, messages: int, size: int) -> None:
        """In the sender: count what was handed over."""
        self._messages += messages
        self._bytes += size

    def release(self, messages: int, size: int) -> None:
        """In the sender: count what was reported."""
        self._messages -= messages
        self._bytes -= size

    def correct(self) -> None:
        """In the sender, when all that was handed over is counted: correct the estimate."""
        self.estimate = (self._messages, self._bytes)

    @property
    def is_idle(self) -> bool:
        """In the sender: whether nothing is outstanding."""
        return not self._messages
