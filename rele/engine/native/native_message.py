"""A message of Relé's own engine, made from what was received without copying it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import cached_property
from typing import Any

from rele.engine.base import Message, Settlement
from rele.engine.native.delivery import Delivery, Settled

Settle = Callable[[Delivery, Settled], Any]
"""Notes in the engine how a delivery was settled; returns the future of the response, if any."""


class NativeMessage(Message):
    """What a handler gets.

    Args:
        received: a ``ReceivedMessage`` of protobuf.
        delivery: what the engine knows of it.
        settle: called when the message is settled.
        has_attempts: whether the subscription counts delivery attempts.
    """

    def __init__(
        self, received: Any, delivery: Delivery, settle: Settle, has_attempts: bool
    ) -> None:
        super().__init__()
        self._received = received
        self._pubsub_message = received.message
        self._delivery = delivery
        self._tell_engine = settle
        self.data = self._pubsub_message.data
        self.message_id = delivery.message_id
        self.ordering_key = delivery.key
        self.ack_id = delivery.ack_id
        self.size = delivery.size
        self.delivery_attempt = delivery.attempt if has_attempts else None

    @cached_property
    def attributes(self) -> Mapping[str, str]:  # type: ignore[override]
        return dict(self._pubsub_message.attributes)

    @cached_property
    def publish_time(self) -> datetime:  # type: ignore[override]
        from datetime import timezone

        time: datetime = self._pubsub_message.publish_time.ToDatetime(timezone.utc)
        return time

    def modify_ack_deadline(self, seconds: int) -> None:
        self._tell_engine(self._delivery, Settled("delay", seconds))

    def modify_ack_deadline_with_response(self, seconds: int) -> Future[Any]:
        response: Future[Any] = self._tell_engine(
            self._delivery, Settled("delay", seconds, wants_response=True)
        )
        return response

    def _send(self, settlement: Settlement, with_response: bool) -> Any:
        return self._tell_engine(self._delivery, Settled(settlement, wants_response=with_response))

    def __repr__(self) -> str:
        return f"<Message {self.message_id}: {len(self.data)} bytes, {dict(self.attributes)}>"
