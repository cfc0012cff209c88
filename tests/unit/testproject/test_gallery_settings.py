"""The settings, as far as they depend on what they are given."""

import pytest

from testproject.settings import _database


def test_two_processes_can_share_an_sqlite_file():
    database = _database("sqlite:////somewhere/gallery.sqlite3")

    assert database["NAME"] == "/somewhere/gallery.sqlite3"
    assert database["OPTIONS"]["timeout"] == 20


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgresql_is_taken_by_its_url(scheme):
    database = _database(f"{scheme}://me:secret@db.example:5433/gallery")

    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == (
        "db.example",
        5433,
        "gallery",
    )
    assert "OPTIONS" not in database
