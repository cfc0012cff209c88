"""What the relay knows of a message without its payload, and what it reads and writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

Place = tuple[float, float]
"""What sorts the messages of a lane."""


class Row:
    """A message of the outbox, without its payload.

    Args:
        id_: of the row.
        topic: its topic.
        lane: what stands for its ordering key; ``None`` without one.
        shard: the part of the outbox that it is in.
        attempts: how often it was refused.
        size: how many bytes it takes.
        place: what sorts it within its lane.
        due_in: seconds until its next attempt, if it was refused; ``None`` if it is waiting.
        behind: the id up to which its lane must have been read before it is sent.
    """

    __slots__ = ("attempts", "behind", "due_in", "id", "lane", "place", "shard", "size", "topic")

    def __init__(
        self,
        id_: int,
        topic: str,
        lane: int | None,
        shard: int,
        attempts: int,
        size: int,
        place: Place,
        due_in: float | None = None,
        behind: int = 0,
    ) -> None:
        self.id = id_
        self.topic = topic
        self.lane = lane
        self.shard = shard
        self.attempts = attempts
        self.size = size
        self.place = place
        self.due_in = due_in
        self.behind = behind

    def __repr__(self) -> str:
        return f"<{self.id} of {self.topic}, lane {self.lane}>"


@dataclass(frozen=True)
class Look:
    """What to read: the waiting rows after an id, in the order of their ids."""

    limit: int
    after: int = 0
    topic: str | None = None
    """Only of this topic."""
    lane: int | None = None
    """Only of this lane, delayed ones among them."""
    without_topics: Collection[str] = ()
    without_lanes: Collection[int] = ()
    without_delayed_lanes: bool = False
    """Whether there are too many lanes with a delayed row to name them."""


@dataclass(frozen=True)
class DelayedLook:
    """Read the delayed rows, first those that are due first."""

    limit: int
    without_topics: Collection[str] = ()


@dataclass(frozen=True)
class Page:
    """What a look has found."""

    rows: Collection[Row]
    """Those that were not known yet."""
    last: int = 0
    """The id up to which everything was read."""
    is_full: bool = False
    """Whether there may be more after ``last``."""

    def in_place(self) -> list[Row]:
        """The rows as they are sorted within their lanes."""
        return sorted(self.rows, key=lambda row: row.place)

    def is_early(self, row: Row) -> bool:
        """Whether more may wait that is to be sent before ``row``, one of these."""
        return self.is_full and row.behind > self.last


@dataclass(frozen=True)
class Refusal:
    """A failed attempt that is to be written down."""

    row: Row
    attempts: int
    error: BaseException
    pause: float | None = None
    """Seconds until the next attempt; ``None``: it stays waiting, or is parked."""
    is_parked: bool = False

    @property
    def changes_state(self) -> bool:
        """Whether the message is not waiting any more."""
        return self.is_parked or self.pause is not None


@dataclass
class Outcomes:
    """What is to be written down."""

    accepted: list[Row] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.accepted or self.refusals)

    def rows(self) -> list[Row]:
        """All rows that it is about."""
        return [*self.accepted, *(refusal.row for refusal in self.refusals)]

    def extend(self, others: Outcomes) -> None:
        """Add ``others``."""
        self.accepted += others.accepted
        self.refusals += others.refusals

    def take_refusals(self, shards: Collection[int]) -> list[Refusal]:
        """Remove the failures of ``shards``, and return them."""
        taken = [refusal for refusal in self.refusals if refusal.row.shard in shards]
        self.refusals = [refusal for refusal in self.refusals if refusal.row.shard not in shards]
        return taken

    def split(self, locked: Collection[int]) -> tuple[Outcomes, Outcomes]:
        """Those that are written down, and those that are not since their rows are locked.

        A failure that changes nothing but the text of the error need not be written.
        """
        written, left = Outcomes(), Outcomes()
        for row in self.accepted:
            (left if row.id in locked else written).accepted.append(row)
        for refusal in self.refusals:
            is_left = refusal.row.id in locked and refusal.changes_state
            (left if is_left else written).refusals.append(refusal)
        return written, left


@dataclass
class Requests:
    """What to hand over now."""

    together: list[Row] = field(default_factory=list)
    alone: list[Row] = field(default_factory=list)
    """Each in a request of its own: Pub/Sub refuses a request as a whole."""

    def __bool__(self) -> bool:
        return bool(self.together or self.alone)

    def rows(self) -> list[Row]:
        """All of them."""
        return [*self.together, *self.alone]

    def each(self) -> Iterator[list[Row]]:
        """What each request has."""
        if self.together:
            yield self.together
        for row in self.alone:
            yield [row]
