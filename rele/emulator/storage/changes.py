"""Changes that are committed together."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources.journal import Kind
from rele.emulator.rules.refusals import ServiceError
from rele.emulator.storage.rows import (
    WRITE_TALLY,
    Tally,
    checksum_of,
    entry_checksum,
    message_checksum,
)

# SQLite before 3.32 takes at most 999 values in a statement; a message has five.
_MOST_ROWS = 128

# The JSON is an object of checksums by message id.
_ADD = "INSERT OR IGNORE INTO entry SELECT key, ?, 1, value FROM json_each(?)"
_REMOVE = "DELETE FROM entry WHERE holder = ? AND message IN (SELECT value FROM json_each(?))"
_CLEAR = "DELETE FROM entry WHERE holder = ?"

_COLLECT = "DELETE FROM message WHERE NOT EXISTS (SELECT 1 FROM entry WHERE entry.message = id)"


class Changes:
    """Changes in the order in which they were reported, and callbacks that wait for them.

    They are reported on the event loop and, once complete, written by another thread. One
    statement writes very many rows wherever possible: each acquires Python's global lock, which
    the event loop needs, too.
    """

    def __init__(self) -> None:
        self.messages: dict[int, StoredMessage] = {}
        self.waiters: list[Callable[[ServiceError | None], None]] = []
        self._resources: dict[int, tuple[int, str, bytes, str] | None] = {}
        self._entries: dict[int, list[tuple[str, list[int]]]] = {}
        self._attempts: dict[tuple[int, int], int] = {}

    def put(self, number: int, kind: Kind, name: str, config: bytes, filter_text: str) -> None:
        self._resources[number] = (int(kind), name, config, filter_text)

    def delete(self, number: int, holders: Iterable[int]) -> None:
        self._resources[number] = None
        for holder in holders:
            self._entries[holder] = [(_CLEAR, [])]

    def add(self, holder: int, messages: Sequence[StoredMessage]) -> None:
        """Add messages to a holder that are not on disk yet."""
        ids = [message.id for message in messages]
        self.messages.update(zip(ids, messages, strict=True))
        self._extend(holder, _ADD, ids)

    def remove(self, holder: int, message_ids: Iterable[int]) -> None:
        self._extend(holder, _REMOVE, message_ids)

    def replace(self, holder: int, message_ids: Sequence[int]) -> None:
        self._entries[holder] = [(_CLEAR, []), (_ADD, list(message_ids))]

    def attempt(self, holder: int, message_id: int, attempt: int) -> None:
        self._attempts[message_id, holder] = attempt

    def report(self, error: ServiceError | None) -> None:
        """Report to all that wait that these changes are on disk, or why they are not."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter(error)

    def write(self, connection: sqlite3.Connection, tally: Tally) -> None:
        """Write everything into the transaction that is open, and count it in ``tally``.

        Raises ``sqlite3.Error``.
        """
        self._write_resources(connection, tally)
        for messages in _chunks(tuple(self.messages.values())):
            tally.messages += connection.execute(
                f"INSERT OR IGNORE INTO message VALUES {','.join(['(?,?,?,?,?)'] * len(messages))}",
                list(chain.from_iterable(map(_row_of, messages))),
            ).rowcount
        self._write_entries(connection, tally)
        if self._attempts:
            connection.executemany(
                "UPDATE entry SET attempt = ?, checksum = ? WHERE message = ? AND holder = ?",
                [
                    (attempt, entry_checksum(*place, attempt), *place)
                    for place, attempt in self._attempts.items()
                ],
            )
        if self.messages:
            tally.last_id = max(tally.last_id, max(self.messages))
        connection.execute(WRITE_TALLY, tally.row())

    def _extend(self, holder: int, statement: str, ids: Iterable[int]) -> None:
        steps = self._entries.get(holder)
        if steps is None:
            steps = self._entries[holder] = []
        if steps and steps[-1][0] is statement:
            steps[-1][1].extend(ids)
        else:
            steps.append((statement, list(ids)))

    def _write_resources(self, connection: sqlite3.Connection, tally: Tally) -> None:
        # Deletions first: a new resource may have the name of a deleted one.
        for number in self._resources:
            tally.resources -= connection.execute(
                "DELETE FROM resource WHERE id IN (?, ?)", (number, -number)
            ).rowcount
        for number, resource in self._resources.items():
            if resource is None:
                continue
            kind, name, config, filter_text = resource
            for key in (number, -number):
                checksum = checksum_of(key, kind, name.encode(), config, filter_text.encode())
                connection.execute(
                    "INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?)", (key, *resource, checksum)
                )
                tally.resources += 1

    def _write_entries(self, connection: sqlite3.Connection, tally: Tally) -> None:
        removed: list[int] = []
        cleared = False
        for holder, steps in self._entries.items():
            for statement, ids in steps:
                if statement is _CLEAR:
                    tally.entries -= connection.execute(statement, (holder,)).rowcount
                    cleared = True
                elif statement is _ADD:
                    checksums = {number: entry_checksum(number, holder, 1) for number in ids}
                    parameters = (holder, json.dumps(checksums))
                    tally.entries += connection.execute(statement, parameters).rowcount
                else:
                    parameters = (holder, json.dumps(ids))
                    tally.entries -= connection.execute(statement, parameters).rowcount
                    removed += ids
        if cleared:
            tally.messages -= connection.execute(_COLLECT).rowcount
        elif removed:
            tally.messages -= connection.execute(
                f"{_COLLECT} AND id IN (SELECT value FROM json_each(?))", (json.dumps(removed),)
            ).rowcount


def _row_of(message: StoredMessage) -> tuple[int, int, str, bytes, int]:
    checksum = message_checksum(
        message.id, message.publish_time, message.ordering_key.encode(), message.encoded
    )
    return (message.id, message.publish_time, message.ordering_key, message.encoded, checksum)


def _chunks(messages: Sequence[StoredMessage]) -> Iterator[Sequence[StoredMessage]]:
    """Pieces whose lengths are powers of two: few different statements, which are prepared once."""
    start = 0
    while start < len(messages):
        length = min(_MOST_ROWS, 1 << (len(messages) - start).bit_length() - 1)
        yield messages[start : start + length]
        start += length
