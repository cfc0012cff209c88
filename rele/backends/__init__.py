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


@dataclass(frozen=True)
class Accepted:
    """A backend is sending the message."""

    future: Future[str]
    """Of the message id; the outcome hooks run when it is done."""


@dataclass(frozen=True)
class Deferred:
    """A backend has stored the message, for somebody who sends it later and runs the hooks then."""

    id: str
    """By which it can be found until then."""
    advice: str = ""
    """One or two sentences on what sends it, which ``rele-cli publish`` shows."""

    @property
    def future(self) -> DeferredFuture:
        """One that is done: there is nothing to wait for."""
        future = DeferredFuture()
        future.advice = self.advice
        future.set_result(self.id)
        return future


class DeferredFuture(Future[str]):
    """Of a message that is stored, and not sent yet."""

    advice = ""


@dataclass(frozen=True)
class Refused:
    """The message is not sent, and never will be."""

    error: BaseException

    @property
    def future(self) -> Future[str]:
        """One that has failed."""
        future: Future[str] = Future()
        future.set_exception(self.error)
        return future


Outcome = Accepted | Deferred | Refused
"""What a backend answers for one message."""


class BaseBackend(ABC):
    """Takes encoded messages and answers for each what becomes of it.

    A backend runs no middleware hook. The publisher runs them: for an :class:`Accepted` message
    when its future is done, for a :class:`Refused` one at once, for a :class:`Deferred` one never.
    """

    #: Where it sends to, for the texts of errors; ``None`` where that is no address.
    address: str | None = None

    @abstractmethod
    def __init__(self, config: Any) -> None:
        """Make the backend from a :class:`rele.config.Config`."""

    @abstractmethod
    def send(self, messages: Sequence[Message]) -> Sequence[Outcome | Future[str]]:
        """Take ``messages`` and answer for each, in their order; a future stands for Accepted.

        Does not wait. Nothing is raised for a message that cannot be sent: it is refused, or its
        future fails.
        """

    def flush(self, timeout: float | None = None) -> None:  # noqa: B027 - optional
        """Send at once what was accepted, instead of collecting more.

        May wait up to ``timeout`` seconds until it is sent; ``None`` sets no limit, ``0`` means
        not to wait. The futures say what became of it.
        """

    def close(self, timeout: float | None = None) -> None:
        """As :meth:`flush`, for good: the process is about to end, or :meth:`release` follows.

        From Python 3.12 on no thread can be started any more when this is called. Messages may
        still be given to :meth:`send`, which then sends them before it returns.
        """
        self.flush(timeout)

    def release(self) -> None:  # noqa: B027 - optional
        """Close connections: another backend takes this one's place. Nothing is sent after this."""
