"""What all tests share: a clean state, and Pub/Sub servers to talk to."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rele import publishing
from rele.schema.settings import DEFAULTS
from rele.status.observers import OBSERVERS
from rele.status.providers import STATUS
from tests.support import engines, mariadb, postgres, redis_server, servers

# Nothing in the tests may look for Google's metadata server.
os.environ["NO_GCE_CHECK"] = "true"
os.environ.pop("PUBSUB_EMULATOR_HOST", None)


@pytest.fixture(autouse=True)
def _forget_configuration() -> Iterator[None]:
    yield
    publishing.forget()


_LONGEST_FIRST = ("acceptance", "integration", "simulation", "conformance")
"""Folders of tests, in the order in which they begin; the others follow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that processes that share the tests end together."""
    tests = Path(__file__).parent
    ranks = {folder: rank for rank, folder in enumerate(_LONGEST_FIRST)}

    def rank(item: pytest.Item) -> int:
        if not item.path.is_relative_to(tests):
            return len(ranks)  # what a doctest is in
        return ranks.get(item.path.relative_to(tests).parts[0], len(ranks))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _forget_status(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have registered and not removed, as workers do, is not of this one."""
    monkeypatch.setattr(STATUS, "_providers", {})
    monkeypatch.setattr(OBSERVERS, "_observers", ())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    engines.parametrize(metafunc)


@pytest.fixture(autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The engine that publishes where a test states none: see the mark ``both_engines``."""
    if chosen := getattr(request, "param", None):
        monkeypatch.setitem(DEFAULTS, "ENGINE", chosen)
    return engines.in_use()


@pytest.fixture(scope="session", params=["embedded", "google"])
def pubsub_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Pub/Sub server: of ours, then of Google's emulator where it is there."""
    with servers.started(request.param) as address:
        yield address


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[str]:
    """The address of our own server, for what needs only one."""
    with servers.started("embedded") as address:
        yield address


@pytest.fixture
def pubsub(pubsub_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the server that the environment leads to."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_server)
    return pubsub_server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL database, on a server of the tests' own."""
    with postgres.started() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """The URL of a MariaDB database, on a server of the tests' own."""
    with mariadb.started() as url:
        yield url


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    """The URL of a database of the tests' own, on the MySQL that RELE_TEST_MYSQL_URL names."""
    with mariadb.mysql() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis server of the tests' own."""
    with redis_server.started() as url:
        yield url


@pytest.fixture
def project_id() -> str:
    """A project that no other test has used."""
    return f"test-{uuid.uuid4().hex[:12]}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes share the tests, tell the one that prints what is missing."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["missing"] = servers.missing_requirements()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    servers.note_missing(getattr(node, "workeroutput", {}).get("missing", []))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in servers.missing_requirements():
        terminalreporter.write_line(line, yellow=True)
