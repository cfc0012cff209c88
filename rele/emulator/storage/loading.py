"""What an earlier server left in the database; every checksum is verified."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rele.emulator.delivery.message import StoredMessage
from rele.emulator.resources.journal import Kind
from rele.emulator.storage.damage import Fault
from rele.emulator.storage.database import Database
from rele.emulator.storage.rows import Row, Tally, entry_checksum, is_intact, message_checksum
from rele.emulator.storage.structure import Progress

_LINE_EVERY_MESSAGES = 100_000

_Entry = tuple[int, int, int, int]


class DamagedStructureError(Exception):
    """So much is damaged that the data cannot be reconstructed."""


@dataclass(slots=True)
class Kept:
    """A topic, subscription or snapshot. ``config`` is serialised.

    ``messages`` are what a subscription has not acknowledged or what a snapshot has, ``logged``
    what is retained, both in the order of publishing. ``attempts`` are the next ones of those
    messages whose delivery failed.
    """

    kind: Kind
    name: str
    config: bytes
    filter_text: str
    messages: list[StoredMessage] = field(default_factory=list)
    logged: list[StoredMessage] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Loaded:
    """Everything in a database that is intact: the resources by their number.

    ``tally`` counts all rows, damaged ones included. ``faults`` says what is damaged or missing.
    ``repairable`` has the numbers of resources of whose two rows one is damaged or missing.
    """

    resources: dict[int, Kept] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    faults: list[Fault] = field(default_factory=list)
    repairable: list[int] = field(default_factory=list)

    @property
    def last_id(self) -> int:
        """The largest message id that was ever given."""
        return self.tally.last_id

    def numbers(self) -> dict[tuple[Kind, str], int]:
        """The number of each resource."""
        return {(each.kind, each.name): number for number, each in self.resources.items()}


def load(database: Database, on_progress: Progress) -> Loaded:
    """Read everything; the bytes of the messages are not kept in memory.

    Raises ``sqlite3.Error``, and ``DamagedStructureError`` where a resource is lost.
    """
    loaded = Loaded(faults=list(database.faults))
    expected = _load_tally(database.reader, loaded)
    _load_resources(database.reader, loaded, expected)
    _Messages(database.reader, loaded, on_progress).load()
    if expected is not None:
        _compare("message", expected.messages, loaded.tally.messages, loaded)
        _compare("entry", expected.entries, loaded.tally.entries, loaded)
    return loaded


def _load_tally(reader: sqlite3.Connection, loaded: Loaded) -> Tally | None:
    """The tally as it was written, or None if it is damaged."""
    rows = reader.execute("SELECT * FROM tally").fetchall()
    if len(rows) != 1 or not is_intact(rows[0]):
        loaded.faults.append(Fault("the row that counts the others is damaged or missing"))
        return None
    expected = Tally(*rows[0][1:-1])
    loaded.tally.last_id = expected.last_id
    return expected


def _load_resources(reader: sqlite3.Connection, loaded: Loaded, expected: Tally | None) -> None:
    intact: dict[int, Row] = {}
    damaged: list[Row] = []
    for row in reader.execute("SELECT * FROM resource ORDER BY id"):
        loaded.tally.resources += 1
        if is_intact(row):
            intact[row[0]] = row
        else:
            damaged.append(row)
    for number in sorted({abs(each) for each in intact}):
        row = intact.get(number) or intact[-number]
        _, kind, name, config, filter_text, _ = row
        loaded.resources[number] = Kept(Kind(kind), name.decode(), config, filter_text.decode())
        if number not in intact or -number not in intact:
            loaded.repairable.append(number)
    if expected is not None and 2 * len(loaded.resources) < expected.resources:
        raise DamagedStructureError(
            f"both rows of a topic, subscription or snapshot are damaged or missing: "
            f"{expected.resources // 2} were there, {len(loaded.resources)} can be read"
        )
    loaded.faults += [
        Fault(f"row {row[0]} of the table resource is damaged", [("resource", row)])
        for row in damaged
    ]
    loaded.faults += [
        Fault(f"one of the two rows of {loaded.resources[number].name} was restored from the other")
        for number in loaded.repairable
    ]


def _compare(table: str, expected: int, found: int, loaded: Loaded) -> None:
    if found < expected:
        text = f"{expected - found} row(s) of the table {table} are missing"
        loaded.faults.append(Fault(text))
    elif found > expected:
        text = f"the table {table} has {found - expected} row(s) more than were written"
        loaded.faults.append(Fault(text))


class _Messages:
    """Brings messages and entries, both in the order of their ids, together."""

    def __init__(self, reader: sqlite3.Connection, loaded: Loaded, on_progress: Progress) -> None:
        self._reader = reader
        self._loaded = loaded
        self._on_progress = on_progress
        self._keys: dict[bytes, str] = {}
        self._entries = self._read_entries()
        self._lost: dict[int, list[_Entry]] = {}

    def load(self) -> None:
        entry = next(self._entries, None)
        for message, row in self._read_messages():
            while entry is not None and entry[0] < message.id:
                entry = self._lose(entry)
            if entry is None or entry[0] != message.id:
                text = f"message {message.id} is in no subscription, log or snapshot any more"
                self._loaded.faults.append(Fault(text, [("message", row)]))
            while entry is not None and entry[0] == message.id:
                entry = self._hold(entry, message)
        while entry is not None:
            entry = self._lose(entry)
        self._loaded.faults += [self._fault_of(number) for number in self._lost]

    def _hold(self, entry: _Entry, message: StoredMessage) -> _Entry | None:
        """Give a message to a holder; returns the next entry."""
        _, holder, attempt, _ = entry
        kept = self._loaded.resources.get(holder // 2)
        if kept is None:
            return self._lose(entry)
        (kept.logged if holder % 2 else kept.messages).append(message)
        if attempt > 1:
            kept.attempts[message.id] = attempt
        return next(self._entries, None)

    def _lose(self, entry: _Entry) -> _Entry | None:
        """Note that the message or resource of an entry is missing; returns the next entry."""
        self._lost.setdefault(entry[0], []).append(entry)
        return next(self._entries, None)

    def _fault_of(self, number: int) -> Fault:
        entries = self._lost[number]
        holders = ", ".join(self._name_of(holder) for _, holder, _, _ in entries)
        text = f"message {number} of {holders} is damaged or missing"
        return Fault(text, [("entry", entry) for entry in entries])

    def _name_of(self, holder: object) -> str:
        kept = self._loaded.resources.get(holder // 2) if isinstance(holder, int) else None
        if kept is None or not isinstance(holder, int):
            return "an unknown resource"
        return f"the log of {kept.name}" if holder % 2 else kept.name

    def _read_messages(self) -> Iterator[tuple[StoredMessage, Row]]:
        """The intact messages, and their rows."""
        previous = StoredMessage(0, 0, b"")
        tally = self._loaded.tally
        next_line = time.monotonic() + 1.0
        for row in self._reader.execute("SELECT * FROM message ORDER BY id"):
            tally.messages += 1
            if tally.messages % _LINE_EVERY_MESSAGES == 0 or _is_over(next_line, tally.messages):
                next_line = time.monotonic() + 1.0
                self._on_progress(f"Opening: {tally.messages:,} messages …")
            if not is_intact(row, message_checksum):
                text = f"row {row[0]} of the table message is damaged"
                self._loaded.faults.append(Fault(text, [("message", row)]))
                continue
            number, published, key, encoded, _ = row
            # Equal publish times and ordering keys share one object, to save memory.
            if published == previous.publish_time:
                published = previous.publish_time
            previous = StoredMessage(number, published, b"", self._key(key), len(encoded))
            tally.last_id = max(tally.last_id, number)
            yield previous, row

    def _read_entries(self) -> Iterator[_Entry]:
        """The intact entries."""
        previous: Row = ()
        for row in self._reader.execute("SELECT * FROM entry ORDER BY message, holder"):
            self._loaded.tally.entries += 1
            # A damaged key may sort anywhere, and may not be comparable.
            if not is_intact(row, entry_checksum):
                text = (
                    "a row of the table entry is damaged: that of a message near "
                    f"{row[0]} in {self._name_of(row[1])}"
                )
                self._loaded.faults.append(Fault(text, [("entry", row)]))
                continue
            if row[:2] <= previous[:2]:
                raise DamagedStructureError("the table entry is out of order")
            previous = row
            yield row

    def _key(self, encoded: bytes) -> str:
        key = self._keys.get(encoded)
        if key is None:
            key = self._keys[encoded] = encoded.decode()
        return key


def _is_over(at: float, count: int) -> bool:
    return count % 1000 == 0 and time.monotonic() >= at
