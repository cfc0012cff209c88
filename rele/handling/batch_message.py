"""A message as a handler of batches gets it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from rele.exceptions import PartialFailure, Retry

if TYPE_CHECKING:
    from rele.engine.base import Message


class BatchMessage:
    """One message of a batch.

    :meth:`ack` and :meth:`nack` take effect when the handler has ended; the last call counts. They
    are needed only to tell messages of a batch apart: those that neither was called for are acked
    if the handler returns, and nacked if it raises.

    Two messages are equal only if they are the same object, so that a dict can have them as keys.

    Args:
        message: the message, as hooks get it.
        data: its payload, decoded.
    """

    __slots__ = ("_message", "_outcome", "data")

    data: Any
    """The payload, decoded as the subscription's codec says."""

    def __init__(self, message: Message, data: Any) -> None:
        self._message = message
        self.data = data
        self._outcome: BaseException | Literal[True] | None = None
        """Why it has failed; ``True`` if it has succeeded; ``None`` if nothing was said of it."""

    @property
    def raw(self) -> bytes:
        """The payload as it was received, not decoded."""
        return self._message.data

    @property
    def id(self) -> str:
        """The message id that Pub/Sub has assigned; the same at each delivery."""
        return self._message.message_id

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes, as they were published."""
        return self._message.attributes

    @property
    def publish_time(self) -> datetime:
        """When Pub/Sub accepted the message, in UTC."""
        return self._message.publish_time

    @property
    def delivery_attempt(self) -> int | None:
        """The number of this delivery, from 1; ``None`` without a dead-letter policy."""
        return self._message.delivery_attempt

    @property
    def ordering_key(self) -> str:
        """Empty if the message was published without an ordering key."""
        return self._message.ordering_key

    def ack(self) -> None:
        """Let it be acknowledged, even if the handler raises an error later.

        In a handler with ``@idempotent`` an error rolls everything back, so then it is nacked.
        """
        self._outcome = True

    def nack(self, error: BaseException | None = None) -> None:
        """Let it fail, even if the handler returns.

        Args:
            error: why, for hooks and logs. ``Retry(delay)``, ``Drop()`` and ``DeadLetter()`` decide
                what becomes of the message; any other is redelivered as the subscription's retry
                policy says.
        """
        self._outcome = Retry() if error is None else error

    @property
    def has_outcome(self) -> bool:
        """Whether its handler has called :meth:`ack` or :meth:`nack`."""
        return self._outcome is not None

    def withdraw_ack(self) -> None:
        """Forget a call of :meth:`ack`, since what the handler wrote was rolled back."""
        if self._outcome is True:
            self._outcome = None

    def failure(self, raised: BaseException | None) -> BaseException | None:
        """Why it has failed, in a handler that has ``raised``; ``None`` if it has succeeded."""
        outcome = self._outcome
        if outcome is None:
            return raised
        return None if outcome is True else outcome

    def __repr__(self) -> str:
        return f"<BatchMessage {self.id}: {len(self.raw)} bytes>"


class RawBatchMessage(BatchMessage):
    """A message whose data are its payload, read only when they are looked at."""

    __slots__ = ()

    def __init__(self, message: Message) -> None:
        self._message = message
        self._outcome = None

    @property
    def data(self) -> bytes:
        return self._message.data


def received(message: BatchMessage) -> Message:
    """``message`` as hooks get it."""
    return message._message


def check_named(error: PartialFailure, messages: Iterable[BatchMessage]) -> None:
    """Refuse a PartialFailure that names something else than messages of its batch.

    Raises:
        RuntimeError: it does.
    """
    if not error.errors.keys() <= set(messages):
        raise RuntimeError(
            "A PartialFailure named something that is no message of its batch, so the whole batch "
            "has failed. Use the objects that the handler was called with as keys: "
            "PartialFailure({message: error})."
        ) from error
