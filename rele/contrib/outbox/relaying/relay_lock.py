"""A lock for the only relay of an SQLite database, which several relays cannot share.

It is released when the process that holds it ends, even if it is killed.
"""

from __future__ import annotations

import errno
import importlib
import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from django.db import connections

from rele.contrib.outbox.exceptions import OutboxError

_MAX_NAME = 1024
"""How many bytes of a lock's file are read; the holder's name is shorter."""

_LOCKED_BYTE = 2**30
"""Far behind the name in the file, because a locked byte cannot be read on Windows."""

_HELD_BY_ANOTHER = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})


class HeldError(Exception):
    """Another relay holds the lock.

    Args:
        holder: its name, or ``""`` if the lock does not know it.
    """

    def __init__(self, holder: str = "") -> None:
        super().__init__(holder)
        self.holder = holder


class Lock(Protocol):
    """A lock that only one relay holds at a time."""

    def hold(self, name: str) -> None:
        """Take the lock for the relay ``name``, or make sure that this relay still holds it.

        Raises:
            HeldError: another relay holds the lock.
        """

    def release(self) -> None:
        """Release the lock."""


def lock_of(alias: str) -> Lock:
    """The lock for the SQLite database ``alias``.

    Raises:
        django.db.Error: the database cannot be used.
    """
    connection = connections[alias]
    file = _sqlite_file(connection)
    return FileLock(file) if file else MemoryLock(str(connection.settings_dict["NAME"]))


def _sqlite_file(connection: Any) -> str:
    """The path that SQLite itself reports, or ``""`` for a database in memory."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA database_list")
        [file] = [file for _, name, file in cursor.fetchall() if name == "main"]
    return file or ""


class FileLock:
    """A lock of the operating system on a file beside the database's file.

    Unlike a POSIX lock, this lock also excludes a second relay of the same process.

    Args:
        database: the path of the database's file.
    """

    def __init__(self, database: str) -> None:
        self._path = Path(f"{database}.relay-lock")
        self._descriptor: int | None = None

    def hold(self, name: str) -> None:
        if self._is_held():
            return
        self.forget()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, name.encode())
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held_files.add(self)

    def release(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
        self.forget()

    def forget(self) -> None:
        """Close the file without changing it.

        A forked process may share the open file, and hold the lock through it.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_held(self) -> bool:
        """Whether this object has locked the file that is at the path now, not a deleted file."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False

    def _lock(self, descriptor: int) -> None:
        try:
            _lock_file(descriptor)
        except OSError as error:
            if error.errno not in _HELD_BY_ANOTHER:
                raise self._unusable(error) from error
            os.lseek(descriptor, 0, os.SEEK_SET)
            raise HeldError(os.read(descriptor, _MAX_NAME).decode(errors="replace")) from None

    def _unusable(self, error: OSError) -> OutboxError:
        return OutboxError(
            f"The lock file {self._path}, which prevents a second relay, cannot be used: "
            f"{error.strerror or error}. The relay's user must be able to write it, on a file "
            "system that can lock files."
        )


def _lock_file(descriptor: int) -> None:
    """Lock the file, or raise OSError at once if it is locked."""
    try:
        import fcntl
    except ImportError:
        _lock_file_on_windows(descriptor)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_file_on_windows(descriptor: int) -> None:
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError:
        raise OutboxError(
            "A relay on SQLite needs Python's module fcntl, or msvcrt on Windows, to prevent a "
            "second relay: this Python has neither."
        ) from None
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    os.lseek(descriptor, 0, os.SEEK_SET)


_held_files: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_files() -> None:
    """Close the lock files in a forked child, so that the lock is free if the parent is killed."""
    for lock in list(_held_files):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_files)


class MemoryLock:
    """A lock within this process, for a database in memory.

    Args:
        database: its name.
    """

    _holders: dict[str, str] = {}  # noqa: RUF012 - shared by all
    _guard = threading.Lock()

    def __init__(self, database: str) -> None:
        self._database = database
        self._is_held = False

    def hold(self, name: str) -> None:
        if self._is_held:
            return
        with self._guard:
            if self._database in self._holders:
                raise HeldError(self._holders[self._database])
            self._holders[self._database] = name
        self._is_held = True

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            del self._holders[self._database]
