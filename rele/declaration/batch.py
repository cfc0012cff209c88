"""How messages are gathered for a handler that takes several at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rele.schema.kinds import is_duration, is_integer

MAX_WAIT = 600
"""Seconds for which a batch may be gathered."""


@dataclass(frozen=True)
class Batch:
    """Hand the messages of a subscription to its handler in lists::

        @sub(topic="order-paid", batch=Batch(max_messages=500, max_wait=0.2))
        def book(messages):
            Booking.objects.bulk_create(Booking(order_id=each.data["id"]) for each in messages)

    The handler is called with a list of :class:`rele.BatchMessage` as soon as there are
    ``max_messages`` of them, or the oldest was received ``max_wait`` ago.

    Args:
        max_messages: how many messages a batch has at most, from 1. It cannot be more than the
            option ``max_messages`` of the subscription, which says how many are outstanding.
        max_wait: how long the oldest message of a batch waits for others, above 0 and at most
            600: in seconds, or a timedelta. It waits longer while ``threads`` batches are being
            handled.

    Raises:
        ValueError: a value is not one of these.
    """

    max_messages: int = 100
    max_wait: float | timedelta = 0.1

    def __post_init__(self) -> None:
        if not is_integer(self.max_messages) or self.max_messages < 1:
            raise ValueError(
                "max_messages of a Batch must be a whole number from 1, not "
                f"{self.max_messages!r}. Write Batch(max_messages=500, max_wait=0.2)."
            )
        if not (is_duration(self.max_wait) and 0 < self.seconds <= MAX_WAIT):
            raise ValueError(
                "max_wait of a Batch must be a number of seconds, or a timedelta, above 0 and at "
                f"most {MAX_WAIT} s, not {self.max_wait!r}. Write Batch(max_messages=500, "
                "max_wait=0.2)."
            )

    @property
    def seconds(self) -> float:
        """``max_wait`` in seconds."""
        wait = self.max_wait
        return wait.total_seconds() if isinstance(wait, timedelta) else wait
