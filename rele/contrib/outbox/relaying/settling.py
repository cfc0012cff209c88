"""Writes down what became of messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.positions import kept_position, tracks_commits
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.rows import Outcomes, Refusal, Row
from rele.contrib.outbox.relaying.unlocked import change_unlocked
from rele.messages.explaining import in_one_line

_UNSENT = (State.WAITING, State.DELAYED)


class Settler:
    """Writes to the outbox of one database.

    Args:
        alias: of the database.
        clock: the database's.
        keep_sent: whether sent messages stay in the table.
    """

    def __init__(self, alias: str, clock: DatabaseClock, keep_sent: bool) -> None:
        self._alias = alias
        self._clock = clock
        self._keep_sent = keep_sent

    def write(self, outcomes: Outcomes) -> Collection[int]:
        """Write down ``outcomes``; it may be called again after an error.

        Returns:
            the ids of the messages whose rows other transactions have locked: theirs are to be
            written later.

        Raises:
            django.db.Error: not all of them could be written.
        """
        locked: set[int] = set()
        if outcomes.accepted:
            locked.update(self._settle_sent(outcomes.accepted))
        if outcomes.refusals:
            locked.update(self._note_refusals(outcomes.refusals))
        return locked

    def _messages(self) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.using(self._alias)

    def _settle_sent(self, rows: Collection[Row]) -> Collection[int]:
        ids = [row.id for row in rows]
        if not self._keep_sent:
            # One statement. delete() may take several, where a project listens for signals.
            return change_unlocked(
                self._messages(), ids, lambda sent: sent._raw_delete(self._alias)
            )
        changes = {"state": State.SENT, "sent_at": self._clock.now(), "last_error": ""}
        return self._update(self._messages().exclude(state=State.SENT), ids, changes)

    def _note_refusals(self, refusals: Collection[Refusal]) -> set[int]:
        position = kept_position(run_statement(self._alias, lambda: tracks_commits(self._alias)))
        alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for refusal in refusals:
            text = in_one_line(refusal.error)
            before = refusal.row.attempts
            kind = (before, refusal.attempts, refusal.is_parked, refusal.pause, text)
            alike[kind].append(refusal.row.id)
        locked: set[int] = set()
        for (before, attempts, is_parked, pause, text), ids in alike.items():
            changes: dict[str, Any] = {"attempts": attempts, "last_error": text, **position}
            if is_parked:
                changes["state"] = State.PARKED
            elif pause is not None:
                changes["state"] = State.DELAYED
                changes["next_attempt_at"] = self._clock.now() + timedelta(seconds=pause)
            # Not what somebody has discarded, parked or retried since, or another relay has sent.
            # A transient failure changes the text alone: whether it was written does not matter.
            unsent = self._messages().filter(state__in=_UNSENT, attempts=before)
            locked.update(self._update(unsent, ids, changes))
        return locked

    def _update(
        self, messages: QuerySet[OutboxMessage], ids: Sequence[int], changes: Mapping[str, Any]
    ) -> Collection[int]:
        return change_unlocked(messages, ids, lambda some: some.update(**changes))
