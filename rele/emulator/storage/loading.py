"""What a former server left in the database."""

import sqlite3
import time
from collections import defaultdict
from dataclasses import dataclass, field

from rele.emulator.messages import StoredMessage
from rele.emulator.storage.database import Database, Progress
from rele.emulator.storage.journal import Kind

_LINE_EVERY_MESSAGES = 100_000

# The CROSS JOIN keeps SQLite from another order of the loops, for which it had to sort.
_ENTRIES = """
SELECT message.id, publish_time, length(encoded), ordering_key, holder, attempt
FROM entry CROSS JOIN message ON message.id = entry.message ORDER BY entry.message
"""


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
    """Everything in a database: the resources by their number, and the largest message id."""

    resources: dict[int, Kept]
    last_id: int

    def numbers(self) -> dict[tuple[Kind, str], int]:
        """The number of each resource."""
        return {(each.kind, each.name): number for number, each in self.resources.items()}


def load(database: Database, on_progress: Progress) -> Loaded:
    """Read everything but the bytes of the messages, which stay on disk.

    Raises ``sqlite3.Error``.
    """
    (last_id,) = database.reader.execute("SELECT value FROM last_id").fetchone()
    resources = {
        number: Kept(Kind(kind), name, config, filter_text)
        for number, kind, name, config, filter_text in database.reader.execute(
            "SELECT id, kind, name, config, filter FROM resource ORDER BY id"
        )
    }
    _load_messages(database.reader, resources, on_progress)
    return Loaded(resources, last_id)


def _load_messages(
    reader: sqlite3.Connection, resources: dict[int, Kept], on_progress: Progress
) -> None:
    keys: dict[str, str] = {}
    holders: dict[int, list[StoredMessage]] = defaultdict(list)
    for number, each in resources.items():
        holders[2 * number], holders[2 * number + 1] = each.messages, each.logged
    message = StoredMessage(0, 0, b"")
    count = 0
    next_line = time.monotonic() + 1.0
    for number, published, size, key, holder, attempt in reader.execute(_ENTRIES):
        if number != message.id:
            # One object for what many have: the times of a request, the ordering keys.
            if published == message.publish_time:
                published = message.publish_time
            message = StoredMessage(number, published, b"", keys.setdefault(key, key), size)
            count += 1
            if count % _LINE_EVERY_MESSAGES == 0 or _is_over(next_line, count):
                next_line = time.monotonic() + 1.0
                on_progress(f"Opening: {count:,} messages …")
        holders[holder].append(message)
        if attempt > 1:
            resources[holder // 2].attempts[number] = attempt


def _is_over(at: float, count: int) -> bool:
    return count % 1000 == 0 and time.monotonic() >= at
