"""The interface between an engine, which moves messages, and the code that handles them.

An engine has a :class:`Consumer` for each subscription, which calls a callback with every
:class:`Message` that it receives.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from threading import RLock
from typing import Any, Literal, Protocol

from rele.status.snapshot import SubscriptionStatus

logger = logging.getLogger(__name__)

Settlement = Literal["ack", "nack", "drop"]
"""How a message is settled. A dropped message is redelivered after its ack deadline."""


class SettlementLock(Protocol):
    """A lock of :mod:`threading`."""

    def acquire(self) -> bool: ...
    def release(self) -> None: ...


class Message(ABC):
    """One received message, as handlers, hooks and settlements see it.

    It has the public attributes and methods of Google's
    ``google.cloud.pubsub_v1.subscriber.message.Message``. In addition, it records how it was
    settled: the first call, in any thread, settles it; later calls change nothing.
    """

    message_id: str
    """The message id that Pub/Sub has assigned; the same at each delivery."""
    data: bytes
    """The payload."""
    attributes: Mapping[str, str]
    """The attributes, as they were published."""
    publish_time: datetime
    """When Pub/Sub accepted the message, in UTC."""
    ordering_key: str
    """Empty if the message was published without an ordering key."""
    delivery_attempt: int | None
    """The number of this delivery, from 1; ``None`` without a dead-letter policy."""
    size: int
    """In bytes."""
    ack_id: str
    """Identifies this delivery of the message to Pub/Sub."""
    received_at: float | None = None
    """When this process received it, in seconds since the epoch; ``None``: it is not known."""

    settled_as: Settlement | None = property(attrgetter("_settled_as"))  # type: ignore[assignment]
    """How the message was settled; ``None`` while it is not settled."""
    acks_with_response: bool = False
    """Whether :meth:`ack` asks Pub/Sub for a response, as exactly-once delivery needs."""

    _lock: SettlementLock
    _settled_as: Settlement | None = None
    _response: Any = None

    def __init__(self) -> None:
        self._lock = RLock()

    @property
    def publish_timestamp(self) -> float:
        """When Pub/Sub accepted the message, in seconds since the epoch."""
        return self.publish_time.timestamp()

    @property
    def ack_response(self) -> Future[Any] | None:
        """The future of Pub/Sub's response to an ack; ``None`` if no response was asked for."""
        return self._response if self._settled_as == "ack" else None

    def ack(self) -> None:
        """Acknowledge the message, so that it is not delivered again."""
        self._settle("ack", self.acks_with_response)

    def ack_with_response(self) -> Future[Any]:
        """As :meth:`ack`; return the future of Pub/Sub's response."""
        self._settle("ack", True)
        return self._response_to("ack")

    def nack(self) -> None:
        """Have the message redelivered, as the subscription's retry policy says."""
        self._settle("nack", False)

    def nack_with_response(self) -> Future[Any]:
        """As :meth:`nack`; return the future of Pub/Sub's response."""
        self._settle("nack", True)
        return self._response_to("nack")

    def drop(self) -> None:
        """Stop extending the ack deadline: the message is redelivered after it has passed."""
        self._settle("drop", False)

    @abstractmethod
    def modify_ack_deadline(self, seconds: int) -> None:
        """Set the ack deadline to ``seconds`` from now (0 to 600)."""

    @abstractmethod
    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        """As :meth:`modify_ack_deadline`; return the future of Pub/Sub's response."""

    @abstractmethod
    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        """Settle the message; return the future of Pub/Sub's response if ``with_response``."""

    def _ack_together(self, messages: Sequence[Message]) -> None:
        """Acknowledge ``messages``, unsettled ones of one engine; this is the first of them."""
        for message in messages:
            message.ack()

    def _settle(self, settlement: Settlement, with_response: bool) -> None:
        self._lock.acquire()
        try:  # a `with` would take twice as long
            if self._settled_as is not None:
                logger.debug("%s was called on a message after %s.", settlement, self._settled_as)
                return
            self._settled_as = settlement
            try:
                response = self._send(settlement, with_response)
            except BaseException:
                self._settled_as = None
                raise
            if with_response:
                self._response = response
        finally:
            self._lock.release()

    def _response_to(self, settlement: Settlement) -> Future[Any]:
        """The future for a caller that asked for ``settlement``; an error if it came too late."""
        if self._settled_as == settlement and self._response is not None:
            response: Future[Any] = self._response
            return response
        response = Future()
        if self._settled_as == settlement:  # and no call has asked Pub/Sub for a response
            response.set_result(None)
        else:
            response.set_exception(
                RuntimeError(f"The message was settled before, by {self._settled_as}.")
            )
        return response


def ack_together(messages: Sequence[Message]) -> None:
    """Acknowledge those of ``messages`` that are not settled, in one step where the engine can.

    Args:
        messages: all of one engine.
    """
    unsettled = [message for message in messages if message.settled_as is None]
    if unsettled:
        unsettled[0]._ack_together(unsettled)


def _passed_through(name: str) -> Any:
    """An attribute of the wrapped object, reading and writing."""

    def write(message: WrappedMessage, value: Any) -> None:
        setattr(message._wrapped, name, value)

    return property(attrgetter(f"_wrapped.{name}"), write)


def _receipt_by_google(message: WrappedMessage) -> float | None:
    # Private, and of no use but to be shown: where it is missing, nothing is shown.
    at = getattr(message._wrapped, "_received_timestamp", None)
    return at if isinstance(at, float) else None


class WrappedMessage(Message):
    """A :class:`Message` that wraps an object with the interface of Google's message.

    It is equal to the object. Attributes that a Message does not have are read from and written to
    the object.

    Args:
        wrapped: one of Google's messages, or a test's stand-in for one.
    """

    _wrapped: Any

    message_id: str = _passed_through("message_id")
    data: bytes = _passed_through("data")
    attributes: Mapping[str, str] = _passed_through("attributes")
    publish_time: datetime = _passed_through("publish_time")
    ordering_key: str = _passed_through("ordering_key")
    delivery_attempt: int | None = _passed_through("delivery_attempt")
    size: int = _passed_through("size")
    ack_id: str = _passed_through("ack_id")
    received_at: float | None = property(_receipt_by_google)  # type: ignore[assignment]

    def __init__(self, wrapped: Any) -> None:
        own = vars(self)  # faster than __setattr__
        own["_lock"] = RLock()
        own["_wrapped"] = wrapped

    def modify_ack_deadline(self, seconds: int) -> None:
        self._wrapped.modify_ack_deadline(seconds)

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        response: Future[Any] = self._wrapped.modify_ack_deadline_with_response(seconds)
        return response

    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        method = f"{settlement}_with_response" if with_response else settlement
        return getattr(self._wrapped, method)()

    def __getattr__(self, name: str) -> Any:
        if name == "_wrapped":  # a copy has no wrapped object while it is being made
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Methods can be replaced on the instance: a middleware may do so to observe the calls.
        if hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            setattr(self._wrapped, name, value)

    def __delattr__(self, name: str) -> None:
        if hasattr(type(self), name):
            object.__delattr__(self, name)
        else:
            delattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, WrappedMessage):
            other = other._wrapped
        return bool(self._wrapped == other)

    def __hash__(self) -> int:
        return hash(self._wrapped)

    def __repr__(self) -> str:
        return repr(self._wrapped)

    def __str__(self) -> str:
        return str(self._wrapped)


def as_message(received: Any) -> Message:
    """Return ``received`` if it is a :class:`Message`, else a Message that wraps it."""
    return received if _is_message(received.__class__) else WrappedMessage(received)


@lru_cache(maxsize=64)  # the stand-ins of tests are each of a class of their own
def _is_message(kind: type) -> bool:
    """Whether it is a class of messages: kept, since the class is abstract, which takes time."""
    return issubclass(kind, Message)


SendToDeadLetters = Callable[[Message, Mapping[str, str]], None]
"""Publishes a message to a dead-letter topic, with attributes that say why it failed, or raises."""


class PublishedMessage(Protocol):
    """What is published: encoded, and checked against Pub/Sub's limits."""

    @property
    def topic(self) -> str:
        """The topic's id, without the project."""

    @property
    def data(self) -> bytes: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def ordering_key(self) -> str: ...


class Consumer(Protocol):
    """Consumes one subscription until it is drained.

    It calls the callback with each :class:`Message`, in threads of its own. If its stream ends for
    any other reason, it starts the stream again.
    """

    def open(self) -> Any:
        """Begin to consume."""

    def drain(self, deadline: float) -> None:
        """Begin to end: start no more handlers, and nack waiting messages. Does not block.

        Args:
            deadline: when to give up waiting for handlers, in seconds of ``time.monotonic()``.
        """

    def join(self, deadline: float) -> int:
        """Wait until the consumer has ended; return how many handlers still run at ``deadline``."""

    @property
    def running(self) -> int:
        """How many handlers have begun and not returned."""

    def status(self) -> SubscriptionStatus:
        """How the subscription is consumed now; its topic is empty. Does not block."""

    def pause(self) -> None:
        """Close the streams, nack once what was not begun, and let running handlers finish.

        Does not block. Before :meth:`open`: open no stream then.
        """

    def resume(self) -> None:
        """Open streams again after :meth:`pause`. Does not block."""

    def set_threads(self, threads: int) -> None:
        """Handle so many messages, or batches, at a time from now on. Does not block."""
