"""One delivery of a message, from its receipt until Pub/Sub knows how it was settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["ack", "nack", "delay", "drop", "extend"]


@dataclass(frozen=True)
class Settled:
    """How a delivery was settled, or, as ``extend``, how long its lease is to be before that."""

    kind: Kind
    seconds: int = 0
    """Of a delay: until the message is redelivered. Of an extension: how long the lease is."""
    wants_response: bool = False
    """Whether somebody waits until Pub/Sub has confirmed it."""


ACK = Settled("ack")
NACK = Settled("nack")


@dataclass(eq=False)
class Charge:
    """How many deliveries of a stream are outstanding."""

    leased: int = 0
    """Pub/Sub counts these against the limit of the stream."""
    unsettled: int = 0
    """How many of these are not settled."""
    delayed: int = 0
    """How many of these are only to be redelivered later: until then Pub/Sub counts them."""


class Delivery:
    """A delivery that is leased.

    Args:
        ack_id: identifies it to Pub/Sub.
        message_id: the same at each delivery of the message.
        key: the ordering key; empty if there is none.
        size: the bytes of the message, about.
        attempt: the number of the delivery, from 1; ``None`` without a dead-letter policy.
        received: the message that was received, of protobuf.
    """

    __slots__ = (
        "ack_id",
        "attempt",
        "begun_at",
        "charge",
        "coroutine",
        "is_being_extended",
        "is_confirmed",
        "is_doubtful",
        "is_extended",
        "is_lost",
        "key",
        "lease_ends_at",
        "message",
        "message_id",
        "received",
        "received_at",
        "renew_at",
        "settled",
        "size",
        "stalled_since",
        "thread_id",
    )

    def __init__(
        self,
        ack_id: str,
        message_id: str,
        key: str = "",
        size: int = 0,
        attempt: int | None = None,
        received: Any = None,
    ) -> None:
        self.ack_id = ack_id
        self.message_id = message_id
        self.key = key
        self.size = size
        self.attempt = attempt
        self.received = received
        self.message: Any = None
        """What the handler gets, once it has begun."""
        self.charge: Charge | None = None
        """Of the stream that it was received on."""
        self.received_at = 0.0
        self.stalled_since: float | None = None
        """Since when its stream had brought nothing, if that was for long: it may have been sent
        then."""
        self.begun_at: float | None = None
        self.lease_ends_at = 0.0
        self.renew_at = 0.0
        self.is_being_extended = False
        self.is_extended = False
        """Whether its lease was extended, or is being extended for the first time."""
        self.is_confirmed = False
        """Whether Pub/Sub has answered an extension of it."""
        self.is_doubtful = False
        """Whether an extension of it, which has failed, may still take effect."""
        self.is_lost = False
        """Whether its lease is known to have ended: the message is redelivered."""
        self.settled: Settled | None = None
        self.coroutine: Any = None
        """That of its handler, if that is an ``async def`` which waits."""
        self.thread_id: int | None = None
        """The thread of its handler, once it has begun."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """As they were published; empty once the handler has returned."""
        received = self.received
        return {} if received is None else received.attributes

    @property
    def ordering_key(self) -> str:
        """As observers call it."""
        return self.key

    @property
    def delivery_attempt(self) -> int | None:
        """The same."""
        return self.attempt

    @property
    def sent_after(self) -> float:
        """A time before Pub/Sub has sent it, but for some seconds."""
        return self.received_at if self.stalled_since is None else self.stalled_since
