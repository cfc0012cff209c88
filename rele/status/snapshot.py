"""The state of one process, as health, metrics, pages and commands read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Phase(Enum):
    """What a process that consumes, or sends what others have stored, is doing."""

    STARTING = "starting"
    """It sets up topics and subscriptions, or has not opened all streams yet."""
    CONSUMING = "consuming"
    SENDING = "sending"
    """It consumes nothing, and sends."""
    DRAINING = "draining"
    """It begins nothing more, and settles what is outstanding."""
    ENDED = "ended"


class Probe(Enum):
    """What a complaint turns red."""

    LIVE = "live"
    """A restart of the process would mend it."""
    READY = "ready"
    """The process cannot do its work now; a restart would not change that."""
    UNWELL = "unwell"
    """A person should look at it; no probe fails."""


@dataclass(frozen=True)
class Complaint:
    """Something that is wrong now."""

    probe: Probe
    subject: str
    """What it is about, such as a subscription's name."""
    reason: str
    """One sentence that says what is wrong and, where that is known, what to do."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


@dataclass(frozen=True)
class Backlog:
    """What waits at the server for a subscription."""

    messages: int
    oldest_seconds: float | None = None
    """The age of the oldest one that is not acked; ``None`` where it is not known."""


@dataclass(frozen=True)
class SubscriptionStatus:
    """How one process consumes one subscription. Totals count from the start of the process."""

    name: str
    topic: str
    threads: int
    """How many messages, or batches, it handles at a time at most."""
    is_paused: bool = False
    """Whether somebody has paused it."""
    streams: int = 0
    """The streams that are open."""
    refused_for: float | None = None
    """For how many seconds no stream could be opened; ``None`` while one is open."""
    refusal: str = ""
    """Why the last one could not, in a line."""
    is_refusal_final: bool = False
    """Whether that lasts until a person corrects its cause."""
    server_silent_for: float | None = None
    """For how many seconds the server has answered nothing that this process has asked; ``None``
    where that is not known."""
    is_engine_running: bool = True
    """Whether the thread or the event loop runs that receives messages and keeps their leases."""
    running: int = 0
    """Handlers that run now."""
    longest_running: float = 0.0
    """For how many seconds the one that began first has been running."""
    outstanding: int = 0
    """Messages that were received and are not settled."""
    outstanding_bytes: int = 0
    limit: int = 0
    """How many may be outstanding now, as flow control has it."""
    is_at_limit: bool = False
    """Whether flow control keeps the server from sending more."""
    received: int = 0
    redelivered: int = 0
    """Of the received ones, those that had been delivered before, where Pub/Sub counts that."""
    leases_extended: int = 0
    leases_lost: int = 0
    idle_for: float | None = None
    """For how many seconds no message was handled; ``None``: none was since the start."""
    backlog: Backlog | None = None
    """What waits at the server; ``None`` where nobody knows."""


@dataclass(frozen=True)
class Figure:
    """One number that a room adds, in Prometheus' terms."""

    name: str
    """Such as ``shop_open_orders``."""
    value: float
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_total: bool = False
    """Whether it only grows, as a counter does; a gauge otherwise."""
    is_fault: bool = False
    """Whether a person has to do something where it is more than 0; pages point it out."""


@dataclass(frozen=True)
class Contribution:
    """What one provider knows now."""

    phase: Phase | None = None
    """Of the worker; ``None`` from a provider that is no worker."""
    subscriptions: tuple[SubscriptionStatus, ...] = ()
    figures: tuple[Figure, ...] = ()
    complaints: tuple[Complaint, ...] = ()
    backlogs: Mapping[str, Backlog] = field(default_factory=dict)
    """What waits at the server, by the name of the subscription, whoever consumes it."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a process at one moment."""

    process: str
    """``host:pid``, and the worker's number under a supervisor: ``host:pid/2``."""
    taken_at: float
    """In seconds since the epoch."""
    started_at: float
    """When the process began to count, in seconds since the epoch."""
    phase: Phase | None = None
    """``None`` in a process that neither consumes nor sends."""
    is_replaced: bool = False
    """Whether another process has taken its place, and it only finishes what it has begun."""
    subscriptions: tuple[SubscriptionStatus, ...] = ()
    figures: tuple[Figure, ...] = ()
    complaints: tuple[Complaint, ...] = ()
