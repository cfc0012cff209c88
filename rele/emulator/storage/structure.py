"""Whether a database file was made by this server, and its structure is intact.

Damaged rows are not detected here: each row has a checksum for that.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from rele.emulator.exceptions import DataDirError
from rele.emulator.storage.rows import TABLES

Progress: TypeAlias = Callable[[str], None]
"""Called with a line about each long step."""

PAGE_SIZE = 4096

APPLICATION_ID = 0x52654C65  # "ReLe"
SCHEMA_VERSION = 2

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
{TABLES}
"""

# The header is described in "Database File Format" in SQLite's documentation.
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_VERSION_AT = 60
_APPLICATION_ID_AT = 68

_CONSTANTS = {
    16: PAGE_SIZE.to_bytes(2, "big"),
    18: b"\2\2",  # WAL, for reading and for writing: otherwise SQLite would not read the log.
    20: b"\0\x40\x20\x20",
    44: b"\0\0\0\4",  # the format of the schema
    52: b"\0\0\0\0",  # no automatic vacuum
    56: b"\0\0\0\1",  # UTF-8
    64: b"\0\0\0\0",
    72: bytes(20),
}
"""What else the header of this server's files has, by its offset."""

# This many steps of SQLite's virtual machine take a tenth of a second or less.
_STEPS_BETWEEN_LOOKS = 1_000_000

_READ_SCHEMA = "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master ORDER BY rowid"


def damaged(directory: Path, reason: str) -> DataDirError:
    """The error for data that is damaged beyond what can be set aside."""
    return DataDirError(
        directory,
        f"the data is damaged ({reason}). It was left as it is. Restore a copy of the directory, "
        "or choose another one; `sqlite3 pubsub.sqlite3 .recover` prints what can still be read.",
    )


def check_header(path: Path) -> None:
    """Raise ``DataDirError`` unless a file has the header of this server's files."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise DataDirError(
            path.parent, f"{path.name} is truncated or not a database. It was left as it is."
        )
    if _number(header, _APPLICATION_ID_AT) != APPLICATION_ID:
        raise DataDirError(
            path.parent, f"{path.name} was not made by this server. It was left as it is."
        )
    version = _number(header, _VERSION_AT)
    if version != SCHEMA_VERSION:
        raise DataDirError(
            path.parent,
            f"{path.name} has version {version}, and this server reads {SCHEMA_VERSION}. It was "
            "left as it is: use it with the release of Relé that made it, or choose another "
            "directory.",
        )
    for at, expected in _CONSTANTS.items():
        if header[at : at + len(expected)] != expected:
            raise damaged(path.parent, f"byte {at} of {path.name} and what follows")


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def check_structure(reader: sqlite3.Connection, path: Path, on_progress: Progress) -> None:
    """Raise ``DataDirError`` where pages or tables are damaged. The connection cannot write."""
    megabytes = path.stat().st_size // 1_000_000
    next_line = time.monotonic() + 1.0

    def look() -> None:
        nonlocal next_line
        if time.monotonic() >= next_line:
            next_line += 1.0
            on_progress(f"Checking {path} ({megabytes:,} MB) …")

    reader.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)
    try:
        (found,) = reader.execute("PRAGMA quick_check(1)").fetchone()
        if found == "ok" and reader.execute(_READ_SCHEMA).fetchall() != _expected_schema():
            found = "its tables are not those of this server"
        reader.execute("SELECT value FROM json_each('[1]')").fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # UnicodeDecodeError if SQLite's error text quotes damaged bytes.
        found = str(error)
    finally:
        reader.set_progress_handler(None, 0)
    if found != "ok":
        raise damaged(path.parent, f"{path.name}: {' '.join(str(found).split())}")


def _expected_schema() -> list[tuple[object, ...]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(SCHEMA)
        return connection.execute(_READ_SCHEMA).fetchall()
    finally:
        connection.close()
