"""The tables, and the checksum that each of their rows ends with.

A checksum is ``zlib.crc32`` over all other columns of the row, keys and state included: it
detects every single flipped bit. Missing rows are detected by the tally, the one row that says how
many rows each table has.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Most columns have neither a type nor a constraint: SQLite would treat a row that breaks one as
# damage of the whole file, this server treats it as damage of that row. They are integers but for
# names, ordering keys and filters (texts) and configurations and encoded messages (bytes). Those of
# an entry have a type because SQLite compares nothing else with an id by its index.
#
# A resource has two rows, with its number and with its negated number as id, so that the other one
# is used if one is damaged. The ledger of resource N's messages is the holder 2 N, that of its log
# the holder 2 N + 1.
TABLES = """
CREATE TABLE resource (id INTEGER PRIMARY KEY, kind, name, config, filter, checksum);
CREATE TABLE message (id INTEGER PRIMARY KEY, publish_time, ordering_key, encoded, checksum);
CREATE TABLE entry (
    message INTEGER, holder INTEGER, attempt, checksum, PRIMARY KEY (message, holder)
) WITHOUT ROWID;
CREATE TABLE tally (id INTEGER PRIMARY KEY, resources, messages, entries, last_id, checksum);
"""

Row = tuple[Any, ...]
"""The columns of a row as SQLite has them, texts as bytes, the checksum last."""


def checksum_of(*columns: int | bytes) -> int:
    """The checksum of a row with these columns. Raises ``TypeError`` for others."""
    checksum = 0
    for column in columns:
        if isinstance(column, bytes):
            checksum = zlib.crc32(column, zlib.crc32(b"%d:" % len(column), checksum))
        else:
            checksum = zlib.crc32(b"%d," % column, checksum)
    return checksum


# Every publish waits for these two, so they are optimised for speed.
_pack_entry = struct.Struct("<qqq").pack
_pack_message = struct.Struct("<qqI").pack


def entry_checksum(message: int, holder: int, attempt: int) -> int:
    """The checksum of a row of ``entry``; there is one for every message and subscription."""
    return zlib.crc32(_pack_entry(message, holder, attempt))


def message_checksum(number: int, publish_time: int, ordering_key: bytes, encoded: bytes) -> int:
    """The checksum of a row of ``message``."""
    head = zlib.crc32(_pack_message(number, publish_time, len(ordering_key)))
    return zlib.crc32(encoded, zlib.crc32(ordering_key, head))


def is_intact(row: Sequence[Any], checksum: Callable[..., int] = checksum_of) -> bool:
    """Whether a row ends with the checksum of its other columns."""
    try:
        return bool(checksum(*row[:-1]) == row[-1])
    except (TypeError, ValueError, OverflowError, struct.error):
        # A column is of another type than it was written with.
        return False


@dataclass(slots=True)
class Tally:
    """How many rows each table has, and the largest message id that was ever given."""

    resources: int = 0
    messages: int = 0
    entries: int = 0
    last_id: int = 0

    def row(self) -> Row:
        """The row of ``tally``."""
        columns = (1, self.resources, self.messages, self.entries, self.last_id)
        return (*columns, checksum_of(*columns))


WRITE_TALLY = "INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?, ?, ?)"
