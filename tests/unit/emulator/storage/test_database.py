"""What is in a data directory is used, or left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from rele.emulator.exceptions import DataDirError
from rele.emulator.storage.database import FILE_NAME, LOCK_NAME, open_database


def ignore(line: str) -> None:
    """Do nothing with a line of progress."""


def open_and_close(directory: Path) -> None:
    open_database(directory, ignore).close()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A directory with a database of some pages, closed."""
    database = open_database(tmp_path, ignore)
    database.writer.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " INSERT INTO message SELECT i, 0, '', zeroblob(200), 0 FROM n"
    )
    database.close()
    return tmp_path


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _truncate_within_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(50)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _overwrite_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 16384)


def _write_text(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


def _make_foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE diary (text)")
    connection.close()


def _make_newer(path: Path) -> None:
    _set_version(path, 99)


def _make_older(path: Path) -> None:
    _set_version(path, 1)


def _set_version(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def _take_wal_from_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\1\1")


def _rename_a_column(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"ordering_key, encoded", b"ordering_kez, encoded"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_truncate, "is damaged"),
        (_truncate_within_the_header, "is truncated or not a database"),
        (_empty, "is truncated or not a database"),
        (_overwrite_pages, "is damaged"),
        (_write_text, "is truncated or not a database"),
        (_take_wal_from_the_header, "is damaged .byte 18 of pubsub.sqlite3"),
        (_rename_a_column, "is damaged .*its tables are not those of this server"),
        (_make_foreign, "was not made by this server"),
        (_make_older, "has version 1, and this server reads 2. It was left as it is: use it with"),
        (_make_newer, "has version 99, and this server reads 2"),
    ],
)
def test_what_is_not_ours_or_damaged_is_refused_and_left_as_it_is(
    filled: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    path = filled / FILE_NAME
    spoil(path)
    before = path.read_bytes()

    with pytest.raises(DataDirError, match=f"cannot use the data directory .*{reason}") as refused:
        open_and_close(filled)

    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_what_is_ours_is_opened_again(filled: Path) -> None:
    database = open_database(filled, ignore)
    assert database.reader.execute("SELECT count(*) FROM message").fetchone() == (1000,)
    database.close()


def test_the_folder_is_made(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    open_and_close(directory)

    assert sorted(path.name for path in directory.iterdir()) == [LOCK_NAME, FILE_NAME]


def test_what_else_is_in_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    open_and_close(tmp_path)

    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_a_crash_left_of_the_first_start_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}.new").write_bytes(b"half of it")
    open_and_close(tmp_path)

    assert not (tmp_path / f"{FILE_NAME}.new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")

    with pytest.raises(DataDirError, match="File exists"):
        open_and_close(file)
    assert file.read_text() == "mine"


def test_a_log_without_its_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"changes")

    with pytest.raises(DataDirError, match="is missing, but its -wal file is there"):
        open_and_close(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    database = open_database(tmp_path, ignore)
    with pytest.raises(DataDirError, match="another server is using it"):
        open_and_close(tmp_path)

    database.close()
    open_and_close(tmp_path)


def test_a_commit_is_written_through(tmp_path: Path) -> None:
    database = open_database(tmp_path, ignore)
    full = 2  # "PRAGMA synchronous" in SQLite's documentation
    assert database.writer.execute("PRAGMA synchronous").fetchone() == (full,)
    assert database.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()
