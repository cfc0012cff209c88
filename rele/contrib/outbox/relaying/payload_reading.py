"""Reads payloads, a little at a time.

A driver keeps an answer several times while it reads it, and its buffers stay as large as the
largest answer. So no statement reads much: a large payload is read in pieces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr

from rele.contrib.outbox.models import OutboxMessage, State
from rele.contrib.outbox.relaying.own_connection import run_statement
from rele.contrib.outbox.relaying.payloads import Payload
from rele.contrib.outbox.relaying.rows import Row
from rele.contrib.outbox.relaying.unlocked import with_keys

PIECE = 1_000_000
"""About how many bytes one statement reads."""

_COLUMNS = ("attributes", "ordering_key", "event_id", "attempts")


class PayloadReader:
    """Reads the payloads of one database.

    Args:
        alias: of the database.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def load(self, rows: Collection[Row]) -> dict[int, Payload]:
        """The payloads of ``rows``, by id; without those that are gone.

        Raises:
            django.db.Error: the database cannot be used.
        """
        loaded: list[Payload] = []
        for some in _portions(rows):
            if some[0].size > PIECE:
                loaded += self._load_in_pieces(some[0])
            else:
                loaded += self._load_together(some)
        return {each.id: each for each in loaded}

    def _load_together(self, rows: Collection[Row]) -> list[Payload]:
        values = self._messages([row.id for row in rows]).values_list(
            "id", "topic", "data", *_COLUMNS
        )
        return [Payload(*each) for each in run_statement(self._alias, lambda: list(values))]

    def _load_in_pieces(self, row: Row) -> list[Payload]:
        """The payload of one row, if it is there until all of it is read."""
        messages = self._messages([row.id])
        pieces: list[bytes] = []
        while not pieces or len(pieces[-1]) == PIECE:
            part = Substr("data", 1 + PIECE * len(pieces), PIECE, output_field=BinaryField())
            values = messages.values_list(part, *_COLUMNS)
            found = run_statement(self._alias, partial(list[tuple[Any, ...]], values))
            if not found:
                return []
            [(piece, *columns)] = found
            pieces.append(bytes(piece or b""))  # SQLite has NULL for a part of nothing
        return [Payload(row.id, row.topic, b"".join(pieces), *columns)]

    def _messages(self, ids: list[int]) -> QuerySet[OutboxMessage]:
        messages = with_keys(OutboxMessage.objects.using(self._alias), ids)
        return messages.filter(state__in=(State.WAITING, State.DELAYED))


def _portions(rows: Collection[Row]) -> Iterator[list[Row]]:
    """``rows`` in parts of about the size that one statement reads; a large one is alone."""
    some: list[Row] = []
    size = 0
    for row in rows:
        if some and size + row.size > PIECE:
            yield some
            some, size = [], 0
        some.append(row)
        size += row.size
    yield some
