"""The database file: made, recognised, checked and locked.

It is SQLite in WAL mode with ``synchronous=FULL``: a commit has been written with an fsync
("PRAGMA synchronous" in SQLite's documentation). An existing file is checked before anything is
written, and left as it is if this server did not make it or it is damaged.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rele.emulator.exceptions import DataDirError
from rele.emulator.storage import usage
from rele.emulator.storage.damage import Fault
from rele.emulator.storage.rows import WRITE_TALLY, Tally
from rele.emulator.storage.structure import (
    PAGE_SIZE,
    SCHEMA,
    Progress,
    check_header,
    check_structure,
    damaged,
)
from rele.emulator.storage.usage import Position, Usage
from rele.emulator.storage.wal import LogState, look_at_log

FILE_NAME = "pubsub.sqlite3"
LOCK_NAME = "pubsub.lock"

_LOG_LOST = (
    "{name} is missing or empty, but the last server was killed and had commits in it. It was left "
    "as it is. Put back that file, or a copy of the directory. To use what pubsub.sqlite3 has "
    f"without it, or if another program such as sqlite3 has moved it in there, delete {LOCK_NAME}."
)


class Database:
    """The open database: ``writer`` for one thread at a time, ``reader`` for the one it is made on.

    ``faults`` are what was found to be wrong with it. The reader returns texts as bytes. ``close``
    releases the directory.
    """

    def __init__(
        self,
        directory: Path,
        lock: IO[bytes],
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        faults: list[Fault],
    ) -> None:
        self.directory = directory
        self.writer = writer
        self.reader = reader
        self.faults = faults
        self._lock = lock
        self._usage = Usage(lock, directory / f"{FILE_NAME}-shm")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of the writer: committed, or rolled back where the block raises."""
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.writer.execute("COMMIT")
            self._usage.note()
        except BaseException:
            # Some errors have rolled it back already.
            with contextlib.suppress(sqlite3.Error):
                self.writer.execute("ROLLBACK")
            raise

    def close(self) -> None:
        # The writer last: SQLite then moves the log into the database file.
        self._usage.end()
        self.reader.close()
        self.writer.close()
        self._usage.close()
        self._lock.close()


def open_database(directory: Path, on_progress: Progress) -> Database:
    """Open the database in ``directory``, which is made if it is not there.

    Raises ``DataDirError`` if this server did not make it, if it is damaged, or if another server
    uses it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    except OSError as error:
        raise DataDirError(directory, error.strerror or str(error)) from error
    reader = writer = None
    try:
        _take_lock(lock, directory)
        path = directory / FILE_NAME
        if not path.exists():
            _create(path)
        check_header(path)
        faults = _check_log(path, usage.read(lock))
        reader = _connect(path, "ro")
        check_structure(reader, path, on_progress)
        reader.text_factory = bytes
        writer = _open_writer(path)
        return Database(directory, lock, writer, reader, faults)
    except BaseException as error:
        for connection in (reader, writer):
            if connection is not None:
                connection.close()
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
            "this system lacks Python's module fcntl, as Windows does, which locks the directory "
            "against a second server. Start the server without --data-dir: it keeps its messages "
            "in memory then.",
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataDirError(directory, "another server is using it.") from None


def _create(path: Path) -> None:
    """Make an empty database, whole or not at all."""
    if _log_of(path).exists():
        raise DataDirError(path.parent, f"{path.name} is missing, but its -wal file is there.")
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    connection = sqlite3.connect(unfinished, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        connection.execute(WRITE_TALLY, Tally().row())
        connection.execute("PRAGMA journal_mode = WAL")
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


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _check_log(path: Path, left: Position | None) -> list[Fault]:
    """What is wrong with SQLite's log, unless so much is that it has to be refused.

    Args:
        path: of the database.
        left: how far the log was written, if a server was killed.
    """
    name = _log_of(path).name
    log = look_at_log(_log_of(path), PAGE_SIZE)
    if log.state is LogState.DAMAGED:
        raise damaged(path.parent, name)
    if log.is_empty and left is not None and left.frame:
        raise DataDirError(path.parent, _LOG_LOST.format(name=name))
    if log.state is LogState.LAST_COMMIT_LOST:
        return [Fault(f"{name}: {log.state.value}, and what it changed is lost")]
    # Other salts: the log was begun anew, and the server killed before it wrote that down.
    if left is not None and left.salts == log.salts and log.frame < left.frame:
        missing = f"its end is missing, from frame {log.frame + 1} to {left.frame}"
        return [Fault(f"{name}: {missing}, and what these commits changed is lost")]
    return []


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _open_writer(path: Path) -> sqlite3.Connection:
    writer = _connect(path, "rw")
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA synchronous = FULL")
    except BaseException:
        writer.close()
        raise
    return writer
