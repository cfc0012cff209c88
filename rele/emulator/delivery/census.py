"""How many messages a subscription has."""

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Census:
    """How many messages of a subscription are not acknowledged, and how many consumers it has.

    ``consumers`` are streams and waiting Pulls. ``waiting`` messages are to be delivered, now or
    later; ``outstanding`` ones are leased. ``oldest`` is when the oldest of both was published, in
    microseconds since the epoch, or None.
    """

    consumers: int
    waiting: int
    outstanding: int
    oldest: int | None
