"""How full the outbox is, for whoever reads the status of the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from django.utils import timezone

from rele.contrib.outbox.contents import messages_of
from rele.contrib.outbox.counting import COUNTED, Count, counts_of
from rele.contrib.outbox.exceptions import explained_errors
from rele.contrib.outbox.models import State
from rele.contrib.outbox.relaying.presence import present_relays
from rele.management.databases import close_connections
from rele.runtime.slow_question import BETWEEN_SCRAPES, SlowQuestion
from rele.status.providers import STATUS
from rele.status.snapshot import Contribution, Figure

EVERY = 15.0
"""Seconds between two looks at a database, at least."""

_GOOD_FOR = 60.0
"""Seconds for which what was seen counts, if the database cannot be looked at again."""

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
        Figure(name, _number(counts.get(state)), text, labels, is_fault=state is State.PARKED)
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


@contextmanager
def showing_figures(
    aliases: Sequence[str], every: float = EVERY, now: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Within the block, have the figures of the outboxes in the status of this process.

    Args:
        aliases: of their databases.
        every: seconds between two looks at a database, at least; nobody looks while nobody asks.
        now: the time, in seconds of a clock that only advances.
    """
    questions = [
        SlowQuestion(
            f"outbox in {alias!r}",
            partial(_found_in, alias),
            every,
            _GOOD_FOR,
            now,
            asked_on=BETWEEN_SCRAPES,
        )
        for alias in aliases
    ]

    def contribute() -> Contribution:
        answers = [question.look() or [] for question in questions]
        return Contribution(figures=tuple(figure for answer in answers for figure in answer))

    forget = STATUS.add(contribute)
    try:
        yield
    finally:
        forget()


def _found_in(alias: str) -> list[Figure]:
    try:
        return figures_of(alias)
    finally:
        close_connections()  # of this thread, which ends
