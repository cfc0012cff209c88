"""One message on its way through one subscription, and the ids that acknowledge it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rele.emulator.consumers import Consumer
from rele.emulator.messages import StoredMessage
from rele.emulator.timers import Timed


class Delivery(Timed):
    """A message that has been handed out at least once and is not acknowledged.

    It is *leased* (``leased``; due when its ack deadline passes), *delayed* (not leased; due when
    its backoff ends) or *ready* (neither). ``attempt`` counts from 1: one more than the times it
    was refused or ran out of time. ``consumer`` is whose flow control a lease counts in.
    """

    __slots__ = ("attempt", "consumer", "leased", "message")

    def __init__(self, message: StoredMessage) -> None:
        # Not through super(): one of these is made for every message.
        self.due = None
        self.armed_at = None
        self.message = message
        self.attempt = 1
        self.leased = False
        self.consumer: Consumer | None = None


class MalformedAckIdError(ValueError):
    """The text is no ack id of this server."""

    def __init__(self, ack_id: str) -> None:
        super().__init__(f"Invalid ack id (ack_id={ack_id}).")


@dataclass(slots=True, frozen=True)
class AckIds:
    """Makes and reads the ack ids of one subscription.

    An ack id is ``TAG:MESSAGE:ATTEMPT``. The tag is drawn anew for each subscription, so that a
    late ack can never settle a message of another one, or of a server started later.
    """

    tag: str

    def make(self, delivery: Delivery) -> str:
        return f"{self.tag}:{delivery.message.id}:{delivery.attempt}"

    def parse(self, ack_ids: Iterable[str]) -> list[tuple[int, int] | None]:
        """The (message id, attempt) of each id, or None for one of another subscription.

        Raises ``MalformedAckIdError`` for the first that could not have been made by ``make``.
        """
        parsed: list[tuple[int, int] | None] = []
        for ack_id in ack_ids:
            match = _ACK_ID.fullmatch(ack_id)
            if match is None:
                raise MalformedAckIdError(ack_id)
            tag, message_id, attempt = match.groups()
            parsed.append((int(message_id), int(attempt)) if tag == self.tag else None)
        return parsed


_ACK_ID = re.compile(r"([0-9a-f]{8}):([0-9]{1,19}):([0-9]{1,10})")
