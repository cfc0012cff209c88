"""What the relay knows of a message without its payload, and what it reads and writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

Place = tuple[float, int]
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
    """

    __slots__ = ("attempts", "due_in", "id", "lane", "place", "shard", "size", "topic")

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
    ) -> None:
        self.id = id_
        self.topic = topic
        self.lane = lane
        self.shard = shard
        self.attempts = attempts
        self.size = size
        self.place = place
        self.due_in = due_in

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


@dataclass(frozen=True)
class Refusal:
    """A failed attempt that is to be written down."""

    row: Row
    attempts: int
    error: BaseException
    pause: float | None = None
    """Seconds until the next attempt; ``None``: it stays waiting, or is parked."""
    is_parked: bool = False


@dataclass
class Outcomes:
    """What is to be written down."""

    accepted: list[Row] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.accepted or self.refusals)


@dataclass
class Requests:
    """What to hand over now."""

    together: list[Row] = field(default_factory=list)
    alone: list[Row] = field(default_factory=list)
    """Each in a request of its own: Pub/Sub refuses a request as a whole."""

    def __bool__(self) -> bool:
        return bool(self.together or self.alone)
