"""The ids that name a lease of a message, and what a request with such ids has done."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from rele.emulator.delivery.delivery import Delivery


@dataclass(slots=True)
class Outcome:
    """The ack ids of one request: accepted, not of a current lease, or out of order."""

    done: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)


class MalformedAckIdError(ValueError):
    """The text is not an ack id of this server."""

    def __init__(self, ack_id: str) -> None:
        super().__init__(f"Invalid ack id (ack_id={ack_id}).")


@dataclass(slots=True, frozen=True)
class AckIds:
    """Makes and reads the ack ids of one subscription.

    An ack id is ``TAG:ERA:MESSAGE:LEASE``. Each subscription has a new random tag, so that
    a late ack can never count for another subscription, or for a server started later. The era
    counts how often all earlier ack ids became void.
    """

    tag: str
    era: int = 0

    def of_next_era(self) -> "AckIds":
        """Ack ids of the same subscription that make all earlier ones void."""
        return AckIds(self.tag, self.era + 1)

    def make(self, delivery: Delivery) -> str:
        return f"{self.tag}:{self.era}:{delivery.message.id}:{delivery.lease}"

    def parse(self, ack_ids: Iterable[str]) -> list[tuple[int, int] | None]:
        """The (message id, lease) of each id, or None for a void one or another subscription's.

        Raises ``MalformedAckIdError`` for the first that could not have been made by ``make``.
        """
        parsed: list[tuple[int, int] | None] = []
        for ack_id in ack_ids:
            match = _ACK_ID.fullmatch(ack_id)
            if match is None:
                raise MalformedAckIdError(ack_id)
            parsed.append(self._lease_of(match))
        return parsed

    def read(self, ack_id: str) -> tuple[int, int]:
        """The (message id, lease) of one id, or (0, 0), which names none, if it is malformed."""
        match = _ACK_ID.fullmatch(ack_id)
        return (match is not None and self._lease_of(match)) or (0, 0)

    def _lease_of(self, match: "re.Match[str]") -> tuple[int, int] | None:
        tag, era, message_id, lease = match.groups()
        if tag != self.tag or int(era) != self.era:
            return None
        return int(message_id), int(lease)


_ACK_ID = re.compile(r"([0-9a-f]{8}):([0-9]{1,10}):([0-9]{1,19}):([0-9]{1,10})")
