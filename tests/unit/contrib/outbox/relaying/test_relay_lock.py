"""The locks that keep a second relay off, each by itself."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rele.contrib.outbox.exceptions import OutboxError
from rele.contrib.outbox.relaying.relay_lock import FileLock, HeldError, Lock, MemoryLock

Make = Callable[[], Lock]


@pytest.fixture(params=["file", "memory", "windows"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a lock of one database."""
    if request.param == "memory":
        return lambda: MemoryLock("shop")
    if request.param == "windows":
        imitate_windows(monkeypatch)
    return lambda: FileLock(str(tmp_path / "shop.sqlite3"))


def imitate_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ``msvcrt`` locks bytes that nobody else can read then, and says so by EACCES."""

    def locking(descriptor: int, mode: int, number: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))


def test_only_one_holds_it_and_the_other_learns_who(make: Make) -> None:
    first, second = make(), make()
    first.hold("host:1")
    first.hold("host:1")  # it still does

    with pytest.raises(HeldError) as refusal:
        second.hold("host:2")

    assert refusal.value.holder == "host:1"
    first.release()
    second.hold("host:2")
    second.release()


def test_the_refused_one_releases_nothing(make: Make) -> None:
    first, second = make(), make()
    first.hold("host:1")
    with pytest.raises(HeldError):
        second.hold("host:2")

    second.release()

    with pytest.raises(HeldError):
        make().hold("host:3")
    first.release()


def test_databases_in_memory_have_a_lock_each() -> None:
    locks = [MemoryLock("one"), MemoryLock("other")]

    for lock in locks:
        lock.hold("host:1")
    for lock in locks:
        lock.release()


def test_one_whose_file_was_deleted_gives_way_to_the_one_that_has_made_it_anew(
    tmp_path: Path,
) -> None:
    first, second = (FileLock(str(tmp_path / "shop.sqlite3")) for _ in range(2))
    first.hold("host:1")
    (tmp_path / "shop.sqlite3.relay-lock").unlink()
    second.hold("host:2")

    with pytest.raises(HeldError, match="host:2"):
        first.hold("host:1")

    second.release()


def test_one_whose_file_was_deleted_makes_it_anew(tmp_path: Path) -> None:
    first, second = (FileLock(str(tmp_path / "shop.sqlite3")) for _ in range(2))
    first.hold("host:1")
    (tmp_path / "shop.sqlite3.relay-lock").unlink()

    first.hold("host:1")

    with pytest.raises(HeldError, match="host:1"):
        second.hold("host:2")
    first.release()


def test_a_file_that_cannot_be_used_is_one_message(tmp_path: Path) -> None:
    lock = FileLock(str(tmp_path / "no such folder" / "shop.sqlite3"))

    with pytest.raises(OutboxError, match=r"shop\.sqlite3\.relay-lock, .* No such file"):
        lock.hold("host:1")


def test_a_python_that_cannot_lock_files_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", None)

    with pytest.raises(OutboxError, match="fcntl"):
        FileLock(str(tmp_path / "shop.sqlite3")).hold("host:1")
