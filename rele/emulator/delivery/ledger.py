"""The interface to what keeps a set of messages on disk; the one here keeps nothing.

Every method returns at once: what is reported is on disk later.
"""

from collections.abc import Iterable, Sequence

from rele.emulator.delivery.message import StoredMessage


class Ledger:
    """A set of messages that has to outlive the process: a backlog, a log, a snapshot."""

    def published(self, messages: Sequence[StoredMessage]) -> None:
        """Note that new messages belong to it."""

    def removed(self, message_ids: Iterable[int]) -> None:
        """Note that messages no longer belong to it."""

    def replaced(self, message_ids: Sequence[int]) -> None:
        """Note that these, each in some ledger already, are now all that belong to it."""

    def attempted(self, message_id: int, attempt: int) -> None:
        """Note which attempt to deliver a message is its next."""

    def encoded(self, messages: Sequence[StoredMessage]) -> Sequence[bytes | None]:
        """The serialised messages, read back where they are only on disk; None for a damaged one.

        Raises ``ServiceError`` where that fails.
        """
        return [message.encoded for message in messages]


NO_LEDGER = Ledger()
