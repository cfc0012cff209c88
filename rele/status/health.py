"""Whether processes are live, ready and well, decided from their snapshots. No clock, no thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rele.status.snapshot import Complaint, Phase, Probe, Snapshot, SubscriptionStatus

UNWELL_AFTER = 300.0
"""Seconds without a handled message after which a backlog that grows is a reason to look."""

_LOOKS = 60
"""How many of the looks at a backlog in that time are kept, at most."""

_NOT_CONSUMING = {
    None: "It does not consume yet, or no longer.",
    Phase.STARTING: "It sets up topics and subscriptions, and opens its streams.",
    Phase.DRAINING: "It stops: it starts no more handlers, and waits for those that run.",
    Phase.ENDED: "It has ended. Another process takes its place, unless the supervisor stops.",
}


@dataclass(frozen=True)
class Health:
    """What is wrong now. Each reason is one line; where there is none, all is well."""

    not_live: tuple[str, ...] = ()
    """Why a restart is needed."""
    not_ready: tuple[str, ...] = ()
    """Why messages are not handled now, or not by every process; what is not live is not ready."""
    unwell: tuple[str, ...] = ()
    """What a person should look at."""
    unknown_backlogs: tuple[str, ...] = ()
    """The subscriptions that are consumed and of which nobody knows what waits."""

    @property
    def is_live(self) -> bool:
        """Whether no restart is needed."""
        return not self.not_live

    @property
    def is_ready(self) -> bool:
        """Whether all processes consume."""
        return not self.not_ready


class HealthJudge:
    """Judges processes again and again, and remembers how much waited.

    Args:
        unwell_after: seconds without a handled message, as in :data:`UNWELL_AFTER`.
    """

    def __init__(self, unwell_after: float = UNWELL_AFTER) -> None:
        self._unwell_after = unwell_after
        self._histories: dict[str, _History] = {}

    def judge(self, snapshots: Sequence[Snapshot], now: float) -> Health:
        """The health of the processes that belong together.

        Args:
            snapshots: one of each process.
            now: in seconds of one clock.
        """
        counting = [each for each in snapshots if not each.is_replaced]
        names = {each.process: "" for each in counting}
        if len(counting) > 1:
            names = {each.process: f"{each.process}: " for each in counting}
        found = [
            (names[each.process], complaint)
            for each in counting
            for complaint in complaints_of(each)
        ]
        not_live = _lines(found, Probe.LIVE)
        subscriptions = _by_name(snapshots)
        return Health(
            not_live,
            (*not_live, *_lines(found, Probe.READY)),
            (*_lines(found, Probe.UNWELL), *self._growing(subscriptions, now)),
            tuple(sorted(each.name for each in subscriptions if each.backlog is None)),
        )

    def _growing(self, subscriptions: Sequence[_Consumed], now: float) -> Iterator[str]:
        """The subscriptions of which nothing is handled although ever more waits."""
        for each in subscriptions:
            if each.backlog is None:
                continue
            history = self._histories.setdefault(each.name, _History(self._unwell_after))
            before = history.note(each.backlog, now)
            if each.is_paused or each.idle_for < self._unwell_after or before is None:
                continue
            if each.backlog > before:
                yield (
                    f"{each.name}: No message was handled for {each.idle_for:.0f} s, and the "
                    f"backlog has grown from {before:,} to {each.backlog:,} messages."
                )


@dataclass
class _History:
    """How much waited for one subscription."""

    span: float
    """In seconds."""
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, messages: int, now: float) -> int | None:
        """Note how much waits; return how much did before ``span``; ``None``: nobody looked."""
        if not self._seen or now - self._seen[-1][0] >= self.span / _LOOKS:
            self._seen.append((now, messages))
        while len(self._seen) > 1 and now - self._seen[1][0] >= self.span:
            self._seen.popleft()
        since, before = self._seen[0]
        return before if now - since >= self.span else None


@dataclass(frozen=True)
class _Consumed:
    """One subscription, as all processes together consume it."""

    name: str
    is_paused: bool
    idle_for: float
    """Seconds since any of them has handled a message of it, or begun."""
    backlog: int | None


def _by_name(snapshots: Sequence[Snapshot]) -> list[_Consumed]:
    found: dict[str, list[tuple[float, SubscriptionStatus]]] = {}
    for snapshot in snapshots:
        age = snapshot.taken_at - snapshot.started_at
        for each in snapshot.subscriptions:
            idle_for = age if each.idle_for is None else each.idle_for
            found.setdefault(each.name, []).append((idle_for, each))
    return [
        _Consumed(
            name,
            all(each.is_paused for _, each in statuses),
            min(idle_for for idle_for, _ in statuses),
            max((each.backlog.messages for _, each in statuses if each.backlog), default=None),
        )
        for name, statuses in found.items()
    ]


def complaints_of(snapshot: Snapshot) -> Sequence[Complaint]:
    """What is wrong with a process that consumes: its own complaints, and why it does not consume
    where it does not say so itself. Nothing, if another process has taken its place.
    """
    if snapshot.is_replaced:
        return ()
    says_why = any(each.probe is Probe.READY for each in snapshot.complaints)
    if snapshot.phase in (Phase.CONSUMING, Phase.SENDING) or says_why:
        return snapshot.complaints
    reason = Complaint(Probe.READY, "worker", _NOT_CONSUMING[snapshot.phase])
    return (*snapshot.complaints, reason)


def _lines(found: Sequence[tuple[str, Complaint]], probe: Probe) -> tuple[str, ...]:
    return tuple(
        process + " ".join(str(each).split()) for process, each in found if each.probe is probe
    )
