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
from rele.emulator.storage.wal import LogState, look_at_log

FILE_NAME = "pubsub.sqlite3"
LOCK_NAME = "pubsub.lock"


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

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of the writer: committed, or rolled back where the block raises."""
        self.writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.writer.execute("COMMIT")
        except BaseException:
            # Some errors have rolled it back already.
            with contextlib.suppress(sqlite3.Error):
                self.writer.execute("ROLLBACK")
            raise

    def close(self) -> None:
        # The writer last: SQLite then moves the log into the database file.
        self.reader.close()
        self.writer.close()
        self._lock.close()


def open_database(directory: Path, on_progress: Progress) -> Database:
    """Open the database in ``directory``, which is made if it is not there.

    Raises ``DataDirError`` if this server did not make it, if it is damaged, or if another server
    uses it.
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
        check_header(path)
        faults = _check_log(path)
        reader = _connect(path, "ro")
        check_structure(reader, path, on_progress)
        reader.text_factory = bytes
        return Database(directory, lock, _open_writer(path), reader, faults)
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


def _check_log(path: Path) -> list[Fault]:
    """What is wrong with SQLite's log, unless so much is that it has to be refused."""
    log = _log_of(path)
    state = look_at_log(log, PAGE_SIZE)
    if state is LogState.DAMAGED:
        raise damaged(path.parent, log.name)
    if state is LogState.LAST_COMMIT_LOST:
        return [Fault(f"{log.name}: {state.value}, and what it changed is lost")]
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
