"""What relays may do with the messages of an outbox: rules for :mod:`tests.support.history`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from tests.support.history import Event, History, NothingIsLost, Rule, check


class Committed(NamedTuple):
    """What is known of a message when its transaction has committed."""

    id: int
    """Of its row."""
    due: float | None = None
    """When it joins its key, if it was published for later, in the seconds of the history."""


class _Open(NamedTuple):
    """A message that is committed and has not appeared."""

    number: int
    """In the order of the commits."""
    at: float
    """When it was committed."""
    id: int
    due: float | None


class SentOnce(Rule):
    """A message is handed over by who may do that, and again only for a reason.

    It has failed before, or those that have it outstanding can do nothing any more: they have died,
    or have lost what entitles them to send. What a relay has written down is never sent again, and
    a relay never sends again what it knows to be accepted, written down or not.
    """

    def __init__(self, history: History) -> None:
        super().__init__(history)
        self._outcomes: defaultdict[int | None, dict[str, str]] = defaultdict(dict)
        """By message: the last outcome of each relay."""

    def note_handed_over(self, event: Event) -> None:
        """``detail`` are the relays that may not send."""
        if event.worker in event.detail:
            self.breaks(event, f"{event.worker} sends {event.message} of another's shard")
        before = self._outcomes[event.message]
        for worker, outcome in before.items():
            if outcome == "failed" or (worker in event.detail and outcome != "written"):
                continue
            text = f"{event.worker} sends {event.message}, which is {outcome} at {worker}"
            self.breaks(event, text)
        before[event.worker] = "outstanding"

    def note_answered(self, event: Event) -> None:
        """``detail`` is ``accepted`` or ``failed``."""
        self._outcomes[event.message][event.worker] = event.detail

    def note_written(self, event: Event) -> None:
        """The relay has written down that it is accepted."""
        self._outcomes[event.message][event.worker] = "written"


class KeysInOrder(Rule):
    """The first appearances of each key are in order.

    Args:
        history: what happened.
        by_commit: whether the database knows when each transaction has committed.
    """

    def __init__(self, history: History, *, by_commit: bool = False) -> None:
        super().__init__(history)
        self._by_commit = by_commit
        self._commits = 0
        self._open: defaultdict[str, dict[int | None, _Open]] = defaultdict(dict)
        """Of each key, by message."""

    def note_accepted(self, event: Event) -> None:
        """It is committed; ``detail`` is a :class:`Committed`."""
        self._commits += 1
        if (key := self._key(event)) is not None:
            opened = _Open(self._commits, event.at, event.detail.id, event.detail.due)
            self._open[key][event.message] = opened

    def note_handled(self, event: Event) -> None:
        """It has arrived at Pub/Sub."""
        key = self._key(event)
        if key is None or (mine := self._open[key].pop(event.message, None)) is None:
            return
        for message, other in self._open[key].items():
            if self._is_before(other, mine):
                self.breaks(event, f"{event.message} of {key!r} arrives before {message}")

    def note_given_up(self, event: Event) -> None:
        """It is parked, discarded or cancelled."""
        if (key := self._key(event)) is not None:
            self._open[key].pop(event.message, None)

    note_withdrawn = note_given_up

    def _key(self, event: Event) -> str | None:
        assert event.message is not None
        return self._keys.get(event.message)

    def _is_before(self, other: _Open, mine: _Open) -> bool:
        if mine.due is not None:
            return other.at < mine.due and (other.due is None or other.due < mine.due)
        if other.due is not None:
            return False  # how soon after that time it joins its key is not promised
        return other.number < mine.number and (self._by_commit or other.id < mine.id)


def check_outbox(
    history: History, parked: Collection[int], *, by_commit: bool = False
) -> list[str]:
    """How a history with its end breaks the rules, if it does.

    Args:
        history: what happened.
        parked: the messages that are parked at the end.
        by_commit: whether the database knows when each transaction has committed.
    """
    rules = [
        NothingIsLost(history, parked),
        SentOnce(history),
        KeysInOrder(history, by_commit=by_commit),
    ]
    return check(history, rules)
