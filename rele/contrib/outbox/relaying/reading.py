"""Reads what waits to be sent, without payloads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from sys import intern
from typing import Any

from django.db.models import (
    Case,
    F,
    FloatField,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Length

from rele.contrib.outbox.lanes import SHARDS, lane_of, shard_of
from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.positions import kept_position, tracks_commits
from rele.contrib.outbox.relaying.clock import DatabaseClock
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.rows import DelayedLook, Look, Page, Place, Row
from rele.contrib.outbox.relaying.unlocked import change_unlocked

_BESIDES = 500
"""About how many bytes a message takes besides its payload."""

_UNSENT = (State.WAITING, State.DELAYED)

_COMMITTED = RawSQL(
    "EXTRACT(EPOCH FROM COALESCE(committed_at, CASE WHEN lane IS NOT NULL"
    " THEN pg_xact_commit_timestamp(xmin) END))::float8",
    [],
    output_field=FloatField(),
)
"""When a message with an ordering key was committed, in seconds since 1970."""


class Reader:
    """Reads the outbox of one database.

    Args:
        alias: of the database.
        clock: the database's.
    """

    def __init__(self, alias: str, clock: DatabaseClock) -> None:
        self._alias = alias
        self._clock = clock
        self._tracks_commits: bool | None = None

    def read(
        self, look: Look | DelayedLook, shards: frozenset[int], known: Collection[int]
    ) -> Page:
        """What ``look`` finds in ``shards``, except for the rows whose ids are ``known``.

        Raises:
            django.db.Error: the database cannot be used.
        """
        if isinstance(look, DelayedLook):
            return self._read_delayed(look, shards, known)
        is_filtered = look.lane is None and look.topic is None and _leaves_out(look, shards)
        # Before the look: what is committed in between is found by a look back.
        highest = self._highest_id() if is_filtered else look.after
        found = self._fetch(_waiting(self._messages(), look, shards).order_by("id")[: look.limit])
        is_full = len(found) >= look.limit
        last = found[-1][0] if found else look.after
        new = [each for each in found if each[0] not in known]
        rows = self._rows([*self._overlooked(new, look, known), *new], shards)
        return Page(rows, last if is_full else max(last, highest), is_full)

    def forget(self) -> None:
        """Ask anew what the database can do: the connection may lead to another server now."""
        self._tracks_commits = None

    def _read_delayed(
        self, look: DelayedLook, shards: frozenset[int], known: Collection[int]
    ) -> Page:
        delayed = _of_shards(self._messages().filter(state=State.DELAYED), shards)
        if look.without_topics:
            delayed = delayed.exclude(topic__in=look.without_topics)
        found = self._fetch(delayed.order_by("next_attempt_at", "id")[: look.limit])
        rows = self._rows([each for each in found if each[0] not in known], shards)
        return Page(rows, is_full=len(found) >= look.limit)

    def _overlooked(
        self, new: Sequence[tuple[Any, ...]], look: Look, known: Collection[int]
    ) -> list[tuple[Any, ...]]:
        """What waits before the look, of the lanes in which it has found something.

        It was committed late, but maybe before what the look has found: then it is seen now.
        """
        lanes = {each[2] for each in new if each[2] is not None}
        if not lanes or not look.after:
            return []
        before = self._messages().filter(lane__in=lanes, id__lte=look.after, state=State.WAITING)
        ids = run_statement(self._alias, lambda: list(before.values_list("id", flat=True)))
        overlooked = [id_ for id_ in ids if id_ not in known]
        if not overlooked:
            return []
        return self._fetch(before.filter(id__in=overlooked).order_by("id"))

    def _messages(self) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.using(self._alias)

    def _highest_id(self) -> int:
        ids = self._messages().filter(state=State.WAITING).order_by("-id")
        return run_statement(self._alias, ids.values_list("id", flat=True).first) or 0

    def _fetch(self, messages: QuerySet[OutboxMessage]) -> list[tuple[Any, ...]]:
        committed = _COMMITTED if self._is_by_commit else F("committed_at")
        # A time that means nothing is not fetched: converting it takes longer than all the rest.
        due_at = Case(When(state=State.DELAYED, then=F("next_attempt_at")))
        values = messages.annotate(
            size=Length("data"), committed=committed, due_at=due_at
        ).values_list("id", "topic", "lane", "shard", "attempts", "size", "committed", "due_at")
        return run_statement(self._alias, lambda: list(values))

    @property
    def _is_by_commit(self) -> bool:
        if self._tracks_commits is None:
            self._tracks_commits = run_statement(self._alias, lambda: tracks_commits(self._alias))
        return self._tracks_commits

    def _rows(self, found: Sequence[tuple[Any, ...]], shards: frozenset[int]) -> list[Row]:
        derived = self._fill_in([each[0] for each in found if each[3] is None], shards)
        is_by_commit = self._is_by_commit
        scheduled = [each[0] for each in found if each[6] is not None and not is_by_commit]
        ends = self._ends_of_lanes(scheduled)
        rows = []
        for id_, topic, lane, shard, attempts, size, committed, due_at in found:
            if shard is None:
                if id_ not in derived:
                    continue
                lane, shard = derived[id_]
            due_in = None
            if due_at is not None:
                due_in = (due_at - self._clock.now()).total_seconds()
            place: Place = (committed or 0.0, id_) if is_by_commit else (id_, 0)
            behind = 0
            if lane is not None and id_ in ends:
                behind = ends[id_]
                place = (behind, committed.timestamp())
            size += _BESIDES
            rows.append(Row(id_, intern(topic), lane, shard, attempts, size, place, due_in, behind))
        return rows

    def _ends_of_lanes(self, ids: Sequence[int]) -> dict[int, int]:
        """For each scheduled message the id up to which its lane must have been read before.

        It comes after those that were published until it was due.
        """
        if not ids:
            return {}
        before = self._messages().filter(
            lane=OuterRef("lane"), state__in=_UNSENT, created_at__lte=OuterRef("committed_at")
        )
        ends = (
            self._messages()
            .filter(id__in=ids)
            .values_list("id", Subquery(before.order_by("-id").values("id")[:1]))
        )
        found = run_statement(self._alias, lambda: list(ends))
        return {id_: max(end or 0, id_) for id_, end in found}

    def _fill_in(
        self, ids: Sequence[int], shards: frozenset[int]
    ) -> dict[int, tuple[int | None, int]]:
        """Give rows of an older version of Relé their lanes and shards; return those."""
        if not ids:
            return {}
        old = self._messages().filter(shard=None)
        keys = old.filter(id__in=ids).values_list("id", "topic", "ordering_key", "event_id")
        derived: dict[int, tuple[int | None, int]] = {}
        for id_, topic, ordering_key, event_id in run_statement(self._alias, lambda: list(keys)):
            lane = lane_of(topic, ordering_key)
            if (shard := shard_of(lane, event_id)) in shards:
                derived[id_] = (lane, shard)
        # Without those that have no lane: PostgreSQL takes a CASE of NULL alone for a text.
        lanes = [
            When(id=id_, then=Value(lane)) for id_, (lane, _) in derived.items() if lane is not None
        ]
        numbers = [When(id=id_, then=Value(shard)) for id_, (_, shard) in derived.items()]
        if not derived:
            return {}
        changes = {
            "lane": Case(*lanes, output_field=OutboxMessage._meta.get_field("lane")),
            "shard": Case(*numbers, output_field=IntegerField()),
            **kept_position(self._is_by_commit),
        }
        locked = change_unlocked(old, list(derived), lambda rows: rows.update(**changes))
        return {id_: each for id_, each in derived.items() if id_ not in locked}


def _waiting(
    messages: QuerySet[OutboxMessage], look: Look, shards: frozenset[int]
) -> QuerySet[OutboxMessage]:
    found = messages.filter(id__gt=look.after)
    if look.lane is not None:
        return found.filter(lane=look.lane, state__in=_UNSENT)
    found = _of_shards(found.filter(state=State.WAITING), shards)
    if look.topic is not None:
        found = found.filter(topic=look.topic)
    if look.without_topics:
        found = found.exclude(topic__in=look.without_topics)
    if look.without_lanes:
        found = found.exclude(lane__in=look.without_lanes)
    if look.without_delayed_lanes:
        delayed = messages.filter(state=State.DELAYED, lane__isnull=False)
        found = found.exclude(lane__in=delayed.values("lane"))
    return found


def _of_shards(
    messages: QuerySet[OutboxMessage], shards: frozenset[int]
) -> QuerySet[OutboxMessage]:
    if len(shards) == SHARDS:
        return messages
    return messages.filter(Q(shard__in=shards) | Q(shard=None))


def _leaves_out(look: Look, shards: frozenset[int]) -> bool:
    return bool(
        len(shards) < SHARDS
        or look.without_topics
        or look.without_lanes
        or look.without_delayed_lanes
    )
