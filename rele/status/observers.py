"""Who observes the requests and responses between the engine and Pub/Sub: traces and metrics.

Nothing of it costs anything until somebody observes: the engine asks once for each request or
response, not for each message, whether there is an observer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

logger = logging.getLogger(__name__)

SettlementKind = Literal["ack", "nack", "modack"]
"""What a request does: ``modack`` extends a lease, or delays a redelivery."""


class ObservedMessage(Protocol):
    """A message of a request to publish."""

    @property
    def message_id(self) -> str:
        """Empty unless Pub/Sub has accepted it."""

    @property
    def data(self) -> bytes: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def ordering_key(self) -> str: ...


class ObservedDelivery(Protocol):
    """A message that was received, and may have been settled."""

    @property
    def ack_id(self) -> str: ...
    @property
    def message_id(self) -> str:
        """Empty where only the ack id is known."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """Empty once the handler has returned."""

    @property
    def ordering_key(self) -> str: ...
    @property
    def delivery_attempt(self) -> int | None:
        """From 1; ``None`` without a dead-letter policy."""


@dataclass(frozen=True)
class PublishRequest:
    """A request to publish that has ended. One that is repeated is another request."""

    topic_path: str
    """``projects/PROJECT/topics/TOPIC``."""
    messages: Sequence[ObservedMessage]
    started: float
    """When it was sent, in seconds since the epoch."""
    seconds: float
    """Until its end."""
    error: BaseException | None = None
    """Why it was not accepted; ``None`` if it was."""


@dataclass(frozen=True)
class SettlementRequest:
    """An Acknowledge or a ModifyAckDeadline that has ended. One that is repeated is another one."""

    subscription: str
    """``projects/PROJECT/subscriptions/NAME``."""
    kind: SettlementKind
    messages: Sequence[ObservedDelivery]
    started: float
    """When it was sent, in seconds since the epoch."""
    seconds: float
    """Until its end."""
    error: str | None = None
    """``STATUS: text``, if it has failed."""
    ack_deadline: int | None = None
    """The seconds of a ModifyAckDeadline."""


class Observer:
    """Base of an observer, which overrides what it wants to know.

    Its methods are called in the threads of the engine, which wait for them: they have to be quick.
    What they raise is logged, and changes nothing.
    """

    def note_publish_request(self, request: PublishRequest) -> None:
        """A request to publish has ended."""

    def note_received(
        self, subscription: str, messages: Sequence[ObservedDelivery], at: float
    ) -> None:
        """A response has brought ``messages``, of which none was handled yet.

        Args:
            subscription: ``projects/PROJECT/subscriptions/NAME``.
            messages: at least one.
            at: now, in seconds since the epoch.
        """

    def note_settlement_request(self, request: SettlementRequest) -> None:
        """A request that settles messages, or extends their leases, has ended."""


class Observers:
    """All observers of one process. It is false while there is none."""

    def __init__(self) -> None:
        self._observers: tuple[Observer, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._observers)

    def add(self, observer: Observer) -> Callable[[], None]:
        """Let ``observer`` know of everything, until the returned function is called."""
        self._observers = (*self._observers, observer)

        def remove() -> None:
            self._observers = tuple(each for each in self._observers if each is not observer)

        return remove

    def note_publish_request(self, request: PublishRequest) -> None:
        for each in self._observers:
            with _logged():
                each.note_publish_request(request)

    def note_received(
        self, subscription: str, messages: Sequence[ObservedDelivery], at: float
    ) -> None:
        for each in self._observers:
            with _logged():
                each.note_received(subscription, messages, at)

    def note_settlement_request(self, request: SettlementRequest) -> None:
        for each in self._observers:
            with _logged():
                each.note_settlement_request(request)


@contextmanager
def _logged() -> Iterator[None]:
    """Within the block an error is logged, and the engine goes on."""
    try:
        yield
    except Exception:
        logger.exception("An observer of the engine has failed.")


OBSERVERS = Observers()
"""The observers of this process."""
