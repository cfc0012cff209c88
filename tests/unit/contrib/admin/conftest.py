"""A project with the page in its admin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rele.contrib.admin import admin as page_admin
from rele.contrib.admin.server_state import ServerWatch
from rele.project.comparison import Comparison
from rele.resources import Plan
from tests.support import rele_admin


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a migrated database is, once a test has used it."""
    return tmp_path_factory.mktemp("page") / "project.sqlite3"


@pytest.fixture
def project(migrated: Path, django_db_blocker: Any) -> Iterator[None]:
    with rele_admin.project(migrated, django_db_blocker):
        yield


@pytest.fixture
def _server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pub/Sub has everything as it is declared."""
    watch = ServerWatch(lambda config, subscriptions: Comparison(Plan()))
    monkeypatch.setattr(page_admin, "WATCH", watch)
