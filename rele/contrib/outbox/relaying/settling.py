"""Writes down what became of messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.positions import kept_position, tracks_commits
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.rows import Outcomes, Refusal, Row
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

    def write(self, outcomes: Outcomes) -> None:
        """Write down ``outcomes``; it may be called again after an error.

        Raises:
            django.db.Error: not all of them could be written.
        """
        if outcomes.accepted:
            self._settle_sent(outcomes.accepted)
        if outcomes.refusals:
            self._note_refusals(outcomes.refusals)

    def _messages(self) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.using(self._alias)

    def _settle_sent(self, rows: Collection[Row]) -> None:
        sent = self._messages().filter(id__in=[row.id for row in rows])
        if self._keep_sent:
            now = self._clock.now()
            run_statement(
                self._alias,
                lambda: sent.update(state=State.SENT, sent_at=now, last_error=""),
            )
        else:
            # One statement. delete() may take several, where a project listens for signals.
            run_statement(self._alias, lambda: sent._raw_delete(self._alias))

    def _note_refusals(self, refusals: Collection[Refusal]) -> None:
        position = kept_position(run_statement(self._alias, lambda: tracks_commits(self._alias)))
        alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for refusal in refusals:
            text = in_one_line(refusal.error)
            kind = (refusal.attempts, refusal.is_parked, refusal.pause, text)
            alike[kind].append(refusal.row.id)
        for (attempts, is_parked, pause, text), ids in alike.items():
            changes: dict[str, Any] = {"attempts": attempts, "last_error": text, **position}
            if is_parked:
                changes["state"] = State.PARKED
            elif pause is not None:
                changes["state"] = State.DELAYED
                changes["next_attempt_at"] = self._clock.now() + timedelta(seconds=pause)
            # Not what somebody has discarded or parked since, or another relay has sent.
            unsent = self._messages().filter(id__in=ids, state__in=_UNSENT)
            run_statement(self._alias, lambda u=unsent, c=changes: u.update(**c))  # type: ignore[misc]
