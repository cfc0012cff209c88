"""A database that cannot be used makes a worker not ready."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connections

from rele.management.database_status import DatabaseStatus
from rele.status.snapshot import Probe
from tests.support.polling import wait_until


@pytest.fixture(autouse=True)
def _allow_databases(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


@contextmanager
def databases(**settings: dict[str, Any]) -> Iterator[None]:
    with patch.dict(connections.settings, connections.configure_settings(settings)):
        yield


def complaints(status: DatabaseStatus, alias: str) -> list[str]:
    """What it complains about once the check that it begins now has ended."""
    status.contribution()
    wait_until(lambda: status._questions[alias].look() is not None, 30, every=0.01)
    return [str(each) for each in status.contribution().complaints]


def test_a_database_that_can_be_used_is_no_complaint() -> None:
    with databases(default={"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}):
        assert complaints(DatabaseStatus(["default"]), "default") == []


def test_one_that_cannot_says_why_and_is_no_reason_for_a_restart() -> None:
    nowhere = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/no/such/folder/db.sqlite3"}
    with databases(default={}, archive=nowhere):
        status = DatabaseStatus(["archive"])
        assert complaints(status, "archive") == [
            "database archive: It cannot be used: OperationalError: unable to open database file"
        ]
        assert [each.probe for each in status.contribution().complaints] == [Probe.READY]


def test_one_that_does_not_answer_is_one_after_a_while() -> None:
    now = 0.0
    never: queue.SimpleQueue[str] = queue.SimpleQueue()
    with patch("rele.management.database_status._error_of", lambda alias: never.get(timeout=30)):
        status = DatabaseStatus(["default"], slow_after=5, now=lambda: now)
        assert status.contribution().complaints == ()
        now = 7.0
        [complaint] = status.contribution().complaints
    never.put("")

    assert str(complaint) == "database default: It has not accepted a connection for 7 s."
