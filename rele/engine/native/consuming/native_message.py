"""A message of Relé's own engine, made from what was received without copying it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timezone
from operator import attrgetter
from threading import Lock
from typing import Any, Protocol

from rele.engine.base import Message, Settlement
from rele.engine.native.consuming.delivery import ACK, NACK, Delivery, Settled


class Settler(Protocol):
    """Notes in the engine how deliveries were settled."""

    def note(self, delivery: Delivery, settled: Settled) -> object:
        """Note it of one, for which nobody waits."""

    def settle(self, delivery: Delivery, settled: Settled) -> Future[Any]:
        """Note it of one; return the future of the response."""

    def ack_together(self, deliveries: Sequence[Delivery]) -> None:
        """Note that several were acked."""


_WITHOUT_RESPONSE: dict[Settlement, Settled] = {
    "ack": ACK,
    "nack": NACK,
    "drop": Settled("drop"),
}


class _MadeWhenRead:
    """An attribute that is made when it is read first: ``functools.cached_property``, unlocked.

    Args:
        make: makes it from the message. Two threads may both do so.
    """

    def __init__(self, make: Callable[[NativeMessage], Any]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    def __get__(self, message: NativeMessage | None, owner: type) -> Any:
        if message is None:
            return self
        value = self._make(message)
        setattr(message, self._name, value)  # not into its __dict__, which would have to be made
        return value


class _Attributes:
    """As :class:`_MadeWhenRead`, in one call, since it is read with nearly every message."""

    def __get__(self, message: NativeMessage | None, owner: type) -> Any:
        if message is None:
            return self
        received, attributes = message._received.attributes, {}
        # Half of the time that dict() takes with a map of protobuf, and without the call that a
        # comprehension is before Python 3.12.
        for name in received:
            attributes[name] = received[name]
        message.attributes = attributes
        return attributes


def _receipt(message: NativeMessage) -> float:
    return time.time() - (time.monotonic() - message._delivery.received_at)


class NativeMessage(Message):
    """What a handler gets. What few read is made when it is read.

    Args:
        delivery: what the engine knows of it.
        settler: learns how the message is settled.
    """

    message_id = property(attrgetter("_delivery.message_id"))
    ordering_key = property(attrgetter("_delivery.key"))
    ack_id = property(attrgetter("_delivery.ack_id"))
    delivery_attempt = property(attrgetter("_delivery.attempt"))

    received_at = property(_receipt)

    exactly_once_enabled = property(attrgetter("acks_with_response"))
    """Whether an ack is confirmed; Google's message has this attribute, too, and the next one."""
    opentelemetry_data = None
    """There is none."""

    def __init__(self, delivery: Delivery, settler: Settler) -> None:
        self._lock = Lock()
        self._received = received = delivery.received
        self._delivery = delivery
        self._settler = settler
        self.data = received.data

    attributes = _Attributes()

    @_MadeWhenRead
    def publish_time(self) -> datetime:
        time: datetime = self._received.publish_time.ToDatetime(timezone.utc)
        return time

    @property
    def publish_timestamp(self) -> float:
        time = self._received.publish_time  # a tenth of what it takes to make a datetime of it
        seconds: float = time.seconds + time.nanos * 1e-9
        return seconds

    @_MadeWhenRead
    def size(self) -> int:
        number: int = self._received.ByteSize()
        return number

    def modify_ack_deadline(self, seconds: int) -> None:
        self._settler.note(self._delivery, self._lease_of(seconds, False))

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        return self._settler.settle(self._delivery, self._lease_of(seconds, True))

    def _lease_of(self, seconds: int, wants_response: bool) -> Settled:
        """Before the message is settled, it is to be leased for so long; after that, delayed.

        Raises:
            ValueError: Pub/Sub takes no such deadline.
        """
        if not 0 <= seconds <= 600:
            raise ValueError(f"An ack deadline has 0 to 600 seconds, not {seconds!r}.")
        is_settled = self.settled_as is not None
        return Settled("extend" if seconds and not is_settled else "delay", seconds, wants_response)

    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        if with_response:
            return self._settler.settle(self._delivery, Settled(settlement, wants_response=True))
        return self._settler.note(self._delivery, _WITHOUT_RESPONSE[settlement])

    def _ack_together(self, messages: Sequence[Message]) -> None:
        if self.acks_with_response:
            super()._ack_together(messages)
            return
        deliveries = []
        for message in messages:
            assert isinstance(message, NativeMessage)
            message._settled_as = "ack"
            deliveries.append(message._delivery)
        self._settler.ack_together(deliveries)

    def __repr__(self) -> str:
        return f"<Message {self.message_id}: {len(self.data)} bytes, {dict(self.attributes)}>"
