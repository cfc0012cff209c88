"""The messages of one ordering key, in their order. No clock, no thread."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rele.engine.native.consuming.delivery import Delivery

IN_TRANSIT = 5.0
"""Seconds for which messages may arrive that Pub/Sub sent before it knew of a failure."""

GOES_WITHIN = 0.5
"""Seconds until Pub/Sub has forwarded a message to the dead-letter topic whose lease has ended."""

NEVER = float("inf")


@dataclass(eq=False, slots=True)
class Place:
    """The place of a message in the order of its key, from its receipt until it was acked."""

    delivery: Delivery
    """The newest one, or the one that a handler has."""
    copies: list[Delivery] = field(default_factory=list)
    """Newer deliveries than the one that a handler has."""
    is_missing: bool = False
    """Whether it waits for its redelivery: it failed, or was nacked, or its lease was lost."""
    has_failed: bool = False
    """Whether it failed itself. So it may fail again, and is handled without others."""
    is_decided: bool = False
    """Whether Pub/Sub delivers nothing that follows it before it, once it knows of the failure.
    Otherwise something may be delivered that is to be held."""
    known_at: float = NEVER
    """When Pub/Sub surely knew of the failure."""
    until: float = 0.0
    """For how long others wait for it that were delivered already."""
    stale_until: float = 0.0
    """Until when it may be redelivered, since an earlier one was, which it has followed."""
    refused: int = 0
    """How often Pub/Sub has refused its ack, or its lease was lost before."""

    def miss(self, known_at: float, until: float, *, is_decided: bool) -> None:
        """Wait for the redelivery."""
        self.is_missing = True
        self.known_at = known_at
        self.until = until
        self.is_decided = is_decided

    def note_known(self, now: float) -> None:
        """Note that Pub/Sub knows of the failure."""
        self.known_at = now if self.known_at == NEVER else max(now, self.known_at)
        if self.is_decided:
            self.until = now + IN_TRANSIT

    def is_over(self, sent_after: float) -> bool:
        """Whether a later message that was sent after that proves that this one is not awaited.

        Another worker has settled it, or it is a dead letter.
        """
        return self.is_missing and self.is_decided and sent_after > self.known_at + IN_TRANSIT

    def take_newest(self) -> list[Delivery]:
        """Go on with the newest delivery; return the older ones."""
        if not self.copies:
            return []
        older = [self.delivery, *self.copies[:-1]]
        self.delivery = self.copies[-1]
        self.copies = []
        return older


class OrderedKey:
    """The messages of one key that are not acked, as far as this worker knows of them.

    Args:
        name: the ordering key.
    """

    __slots__ = (
        "_delayed_until",
        "handed",
        "last_attempt",
        "missing",
        "missing_until",
        "name",
        "waiting",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.handed: dict[str, Place] = {}
        """What was given to a handler, in order, by message id."""
        self.waiting: OrderedDict[str, Place] = OrderedDict()
        """What comes after that, in order, by message id."""
        self.missing = 0
        """How many of those that wait are missing."""
        self.missing_until = 0.0
        """For how long others would wait for them at most."""
        self.last_attempt: Delivery | None = None
        """A message that was delayed after its last attempt, and then goes to the dead-letter
        topic: until then Pub/Sub accepts no ack of those that follow it, if delivery is exactly
        once."""
        self._delayed_until = 0.0

    def block(self, last_attempt: Delivery, until: float) -> None:
        """Hand out nothing before ``last_attempt``, which was delayed until then, has gone."""
        self.last_attempt = last_attempt
        self._delayed_until = until

    @property
    def blocked_until(self) -> float:
        """When the message that was delayed after its last attempt has gone."""
        if self.last_attempt is None:
            return 0.0
        # The lease lasts until the delay is known to Pub/Sub, and then as long as the delay.
        return max(self._delayed_until, self.last_attempt.lease_ends_at) + GOES_WITHIN

    @property
    def first(self) -> Place | None:
        """What comes next."""
        return next(iter(self.waiting.values()), None)

    @property
    def held(self) -> int:
        """How many deliveries wait for a missing one."""
        first = self.first
        return len(self.waiting) - self.missing if first is not None and first.is_missing else 0

    @property
    def resumes_at(self) -> float:
        """When the next message may be handled at the latest, if it waits for time alone."""
        first = self.first
        return max(self.blocked_until, first.stale_until if first is not None else 0.0)

    def present(self) -> Iterator[Place]:
        """What waits and is not missing, the last one first."""
        return (place for place in reversed(self.waiting.values()) if not place.is_missing)

    def put_back(self, places: Iterable[Place]) -> None:
        """Let ``places`` wait before all others, in their order."""
        for place in reversed([*places]):
            message_id = place.delivery.message_id
            self.waiting[message_id] = place
            self.waiting.move_to_end(message_id, last=False)
            self.missing += place.is_missing

    def place(self, delivery: Delivery) -> tuple[Place, Delivery | None]:
        """The place of what was received, and the older delivery that it replaces.

        A message that was not received before comes after all others.
        """
        place = self.waiting.get(delivery.message_id)
        if place is None:
            place = self.waiting[delivery.message_id] = Place(delivery)
            return place, None
        older = None if place.is_missing or place.delivery.settled is not None else place.delivery
        self.missing -= place.is_missing
        place.is_missing = False
        place.stale_until = 0.0
        place.delivery = delivery
        return place, older

    def miss(self, place: Place, known_at: float, until: float, *, is_decided: bool) -> None:
        """Wait for the redelivery of ``place``, which waits."""
        self.missing += not place.is_missing
        self.missing_until = max(self.missing_until, until)
        place.miss(known_at, until, is_decided=is_decided)

    def forget_if_over(self) -> None:
        """Forget what is missing if what comes after it proves that nobody waits for it.

        Pub/Sub has redelivered that first then, and now redelivers in order what follows: all of
        it, also what was acked, and perhaps in another order than that of this worker. So either
        all that is missing is forgotten, or nothing.
        """
        first = next((each for each in self.waiting.values() if not each.is_missing), None)
        if first is None or not self.missing or first is self.first:
            return
        sent_after = first.delivery.sent_after
        if all(each.is_over(sent_after) for each in self.waiting.values() if each.is_missing):
            for name in [name for name, each in self.waiting.items() if each.is_missing]:
                del self.waiting[name]
            self.missing = 0

    def start_over(self) -> list[Delivery]:
        """Forget the order, which was wrong; return what is to be nacked, the last one first."""
        nack = [place.delivery for place in self.present()]
        self.forget_missing()
        return nack

    def forget_missing(self) -> None:
        """Wait for nothing any more, where nothing waits but what is missing."""
        self.waiting.clear()
        self.missing = 0

    def expect_copies(self, until: float) -> None:
        """Note that what waits may be redelivered until then."""
        for place in self.present():
            place.stale_until = until
