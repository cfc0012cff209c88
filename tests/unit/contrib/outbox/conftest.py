"""An outbox on a database of the tests' own, and where to relay to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rele.backends import BaseBackend
from rele.contrib.outbox.conf import OutboxSettings
from rele.contrib.outbox.relaying.relay import OutboxRelay
from tests.support.outbox import ALIAS, FakePubSub, filled_in, installed


@pytest.fixture
def sqlite_database(tmp_path: Path) -> dict[str, Any]:
    return filled_in(
        {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(tmp_path / "outbox.sqlite3"),
            "OPTIONS": {"timeout": 20},
        }
    )


@pytest.fixture
def sqlite(sqlite_database: dict[str, Any], django_db_blocker: Any) -> Iterator[None]:
    """The outbox is on SQLite, in a file."""
    yield from installed(sqlite_database, django_db_blocker)


@pytest.fixture
def servers() -> FakePubSub:
    return FakePubSub()


@pytest.fixture
def make_relay(servers: FakePubSub) -> Callable[..., OutboxRelay]:
    """Make a relay to ``servers``, or to another backend."""

    def make(
        backend: BaseBackend | None = None, batch_size: int = 1000, **settings: Any
    ) -> OutboxRelay:
        return OutboxRelay(ALIAS, OutboxSettings(**settings), backend or servers, batch_size)

    return make


@pytest.fixture
def first(make_relay: Callable[..., OutboxRelay]) -> Iterator[OutboxRelay]:
    """A running relay."""
    relay = make_relay()
    relay.begin()
    yield relay
    relay.end()
