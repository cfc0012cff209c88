"""The database file: made, recognised, checked and locked.

It is SQLite in WAL mode with ``synchronous=FULL``: a commit has been written with an fsync
("PRAGMA synchronous" in SQLite's documentation). What is there already is looked at before
anything is written, and left as it is if it is not ours or is damaged.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

from rele.emulator.exceptions import DataDirError

Progress: TypeAlias = Callable[[str], None]
"""Is told in a line what takes long."""

FILE_NAME = "pubsub.sqlite3"
LOCK_NAME = "pubsub.lock"

APPLICATION_ID = 0x52654C65  # "ReLe"
SCHEMA_VERSION = 1

# The header is described in "Database File Format" in SQLite's documentation.
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_VERSION_AT = 60
_APPLICATION_ID_AT = 68

# About so many steps of SQLite's machine take a tenth of a second or less.
_STEPS_BETWEEN_LOOKS = 1_000_000

# The ledger of resource N's messages is the holder 2 N, that of its log the holder 2 N + 1.
_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE resource (
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL, config BLOB NOT NULL,
    filter TEXT NOT NULL, UNIQUE (kind, name)
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, publish_time INTEGER NOT NULL, ordering_key TEXT NOT NULL,
    encoded BLOB NOT NULL
);
CREATE TABLE entry (
    message INTEGER NOT NULL, holder INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (message, holder)
) WITHOUT ROWID;
CREATE TABLE last_id (value INTEGER NOT NULL);
INSERT INTO last_id VALUES (0);
"""


class Database:
    """The open database: ``writer`` for one thread at a time, ``reader`` for the one it is made on.

    ``close`` gives the directory back.
    """

    def __init__(
        self,
        directory: Path,
        lock: IO[bytes],
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
    ) -> None:
        self.directory = directory
        self.writer = writer
        self.reader = reader
        self._lock = lock

    def close(self) -> None:
        # The writer last: it then moves everything into the one file.
        self.reader.close()
        self.writer.close()
        self._lock.close()


def open_database(directory: Path, on_progress: Progress) -> Database:
    """Open the database in ``directory``, which is made if it is not there.

    Raises ``DataDirError`` where it is not ours, is damaged, or another server uses it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / LOCK_NAME).open("ab")
    except OSError as error:
        raise DataDirError(directory, error.strerror or str(error)) from error
    reader = None
    try:
        _take_lock(lock, directory)
        path = directory / FILE_NAME
        if not path.exists():
            _create(path)
        _check_header(path)
        reader = _connect(path, "ro")
        _check_contents(reader, path, on_progress)
        return Database(directory, lock, _open_writer(path), reader)
    except BaseException as error:
        if reader is not None:
            reader.close()
        lock.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise DataDirError(directory, f"{FILE_NAME}: {error}") from error
        raise


def _take_lock(lock: IO[bytes], directory: Path) -> None:
    try:
        import fcntl
    except ImportError:
        raise DataDirError(
            directory,
            "a lock keeps a second server off it, for which this system lacks Python's module "
            "fcntl (Windows does). Start the server without --data-dir: it keeps its messages in "
            "memory then.",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataDirError(directory, "another server is using it.") from None


def _create(path: Path) -> None:
    """Make an empty database, whole or not at all."""
    if path.with_name(f"{path.name}-wal").exists():
        raise DataDirError(path.parent, f"{path.name} is missing, but its -wal file is there.")
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    connection = sqlite3.connect(unfinished, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    finally:
        connection.close()
    unfinished.rename(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise DataDirError(
            path.parent, f"{path.name} is truncated, or no database. It was left as it is."
        )
    if _number(header, _APPLICATION_ID_AT) != APPLICATION_ID:
        raise DataDirError(
            path.parent, f"{path.name} was not made by this server. It was left as it is."
        )
    version = _number(header, _VERSION_AT)
    if version != SCHEMA_VERSION:
        raise DataDirError(
            path.parent,
            f"{path.name} has version {version}, and this server reads {SCHEMA_VERSION}.",
        )


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _check_contents(reader: sqlite3.Connection, path: Path, on_progress: Progress) -> None:
    """Look for damage. The connection cannot write, so that what is damaged stays as it is."""
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
        reader.execute("SELECT value FROM json_each('[1]')").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    finally:
        reader.set_progress_handler(None, 0)
    if found != "ok":
        reason = " ".join(str(found).split())
        raise DataDirError(path.parent, f"{path.name} is damaged ({reason}). It was left as it is.")


def _open_writer(path: Path) -> sqlite3.Connection:
    writer = _connect(path, "rw")
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
    except BaseException:
        writer.close()
        raise
    return writer
