"""How full the outbox is, for whoever reads the status of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from django.utils import timezone

from rele.contrib.outbox.contents import messages_of
from rele.contrib.outbox.counting import COUNTED, Count, counts_of
from rele.contrib.outbox.exceptions import OutboxError, explained_errors
from rele.contrib.outbox.models import State
from rele.contrib.outbox.relaying.presence import present_relays
from rele.management.databases import close_connections
from rele.status.providers import STATUS
from rele.status.snapshot import Complaint, Contribution, Figure, Probe

INTERVAL = 15.0
"""Seconds between two looks at the database, at least."""

_PATIENCE = 4
"""So many intervals after a look has begun, what was seen before counts no longer."""

_NUMBERS = {
    State.WAITING: ("rele_outbox_waiting", "Messages in the outbox that are to be sent now."),
    State.DELAYED: (
        "rele_outbox_delayed",
        "Messages in the outbox that Pub/Sub has refused, and that are tried again.",
    ),
    State.PARKED: (
        "rele_outbox_parked",
        "Messages in the outbox that Pub/Sub has refused too often, and that are not sent.",
    ),
    State.SCHEDULED: ("rele_outbox_scheduled", "Messages in the outbox that are sent later."),
}


def figures_of(alias: str) -> list[Figure]:
    """What is in the outbox of the database ``alias`` now.

    Raises:
        OutboxError: the database cannot be used.
    """
    with explained_errors(alias):
        counts = {count.state: count for count in counts_of(messages_of(alias), _NUMBERS)}
        relays = len(present_relays(alias))
    labels = {"database": alias}
    figures = [
        Figure(name, _number(counts.get(state)), text, labels)
        for state, (name, text) in _NUMBERS.items()
    ]
    return [
        *figures,
        Figure(
            "rele_outbox_lag_seconds",
            _age(counts.get(State.WAITING)),
            "The age of the oldest message in the outbox that is to be sent now.",
            labels,
        ),
        Figure(
            "rele_outbox_relays", relays, "Relays that send the messages of the outbox.", labels
        ),
    ]


def _number(count: Count | None) -> int:
    if count is None:
        return 0
    counted = sum(group.count for group in count.groups)
    return counted if count.is_complete else count.estimate or COUNTED


def _age(count: Count | None) -> float:
    if count is None:
        return 0.0
    oldest = min(group.oldest for group in count.groups)
    return max((timezone.now() - oldest).total_seconds(), 0.0)


class OutboxFigures:
    """Looks at the outboxes in a thread of its own, and only while somebody asks for the figures.

    Args:
        aliases: of the databases.
        interval: seconds between two looks, at least.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._aliases = aliases
        self._interval = interval
        self._clock = clock
        self._known = Contribution()
        self._due_at = clock()
        self._looks_since: float | None = None
        self._is_over = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rele-outbox-figures", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Let the thread end, once it has seen what it is looking at."""
        self._is_over = True
        self._wake.set()

    def contribution(self) -> Contribution:
        """What was seen at the last look, unless that is long ago. A look that is due begins."""
        now = self._clock()
        since = self._looks_since
        if since is None:
            if now >= self._due_at:
                self._wake.set()
        elif (seconds := now - since) > _PATIENCE * self._interval:
            reason = f"The database has not answered for {seconds:.0f} s."
            return Contribution(complaints=(_complaint(self._aliases, reason),))
        return self._known

    def look(self) -> None:
        """Look at the outboxes now."""
        self._looks_since = self._clock()
        figures: list[Figure] = []
        complaints: list[Complaint] = []
        for alias in self._aliases:
            try:
                figures += figures_of(alias)
            except OutboxError as error:
                complaints.append(_complaint([alias], str(error)))
        self._known = Contribution(figures=tuple(figures), complaints=tuple(complaints))
        self._due_at = self._clock() + self._interval
        self._looks_since = None

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._is_over:
                return
            try:
                self.look()
            finally:
                close_connections()  # not kept open until the next look


def _complaint(aliases: Sequence[str], reason: str) -> Complaint:
    return Complaint(Probe.READY, f"outbox in {' and '.join(map(repr, aliases))}", reason)


@contextmanager
def showing_figures(aliases: Sequence[str]) -> Iterator[None]:
    """Within the block, have the figures of the outboxes in the status of this process."""
    figures = OutboxFigures(aliases)
    figures.begin()
    remove = STATUS.add(figures.contribution)
    try:
        yield
    finally:
        remove()
        figures.end()
