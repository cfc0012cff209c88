"""Where published messages go: the contract, and Relé's own backends.

``RELE["PUBLISHER_BACKEND"]`` is the dotted path of a class, as Django's ``EMAIL_BACKEND`` is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rele.messages.codec import decode


@dataclass(frozen=True)
class Message:
    """One message as a backend gets it: encoded, with its attributes complete."""

    topic: str
    """The topic's id, without the project."""
    data: bytes
    attributes: dict[str, str] = field(default_factory=dict)
    ordering_key: str = ""

    def json(self) -> Any:
        """The data that was published, decoded again.

        Raises:
            DecodeError: the bytes are no JSON.
        """
        return decode(self.data)


class BaseBackend(ABC):
    """Takes encoded messages and says what became of each.

    A backend runs no middleware hook: :class:`rele.Publisher` hangs them on the futures.
    """

    #: Whether somebody else sends the messages later and runs the outcome hooks then.
    defers_outcome = False

    #: Where it sends to, for the texts of errors; ``None`` where that is no address.
    address: str | None = None

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """Make the backend from a :class:`rele.config.Config`."""

    @abstractmethod
    def send(self, messages: Sequence[Message]) -> list[Future[str]]:
        """Accept ``messages`` and return a future of the message id for each, in their order.

        Does not wait. Nothing is raised for a message that cannot be sent: its future fails.
        """

    def flush(self, timeout: float | None = None) -> None:  # noqa: B027 - optional
        """Send at once what was accepted, instead of collecting more.

        May wait up to ``timeout`` seconds until it is sent; ``None`` sets no limit, ``0`` forbids
        to wait. The futures tell what became of it.
        """

    def close(self, timeout: float | None = None) -> None:
        """As :meth:`flush`, for good: the process is about to end, or :meth:`release` follows.

        From Python 3.12 on no thread can be started any more when this is called. Messages may
        still be given to :meth:`send`, which then sends them before it returns.
        """
        self.flush(timeout)

    def release(self) -> None:  # noqa: B027 - optional
        """Close connections: another backend takes this one's place. Nothing is sent after this."""
