"""Publishers and workers against a running Pub/Sub server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import rele
from rele import publishing
from rele.config import Config
from rele.subscription import Subscription
from rele.worker import Worker, make_worker
from tests.support.in_use import register
from tests.support.inbox import Inbox
from tests.support.publish_server import PublishServer
from tests.support.pull_server import PullServer
from tests.support.recorder import Recorder


@pytest.fixture
def configure(pubsub: str, project_id: str) -> Callable[..., Config]:
    """Set Relé up for a project of the test's own, with the settings that it gives."""

    def configure(**settings: Any) -> Config:
        return rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], **settings})

    return configure


@pytest.fixture
def publish_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishServer]:
    """A server that answers as the test says; the environment leads to it."""
    with PublishServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server
        server.accept_all()
        for request in server.requests.items:
            if request.accepted_as is None:  # it waits; an answer to one that was refused is lost
                server.accept(request)
        publishing.forget()


@pytest.fixture
def pull_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PullServer]:
    """A server whose streams the test scripts; the environment leads to it."""
    with PullServer() as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield server


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.inbox = Inbox()

    def emit(self, record: logging.LogRecord) -> None:
        self.inbox.put(f"{record.levelname} {record.getMessage()}")


@pytest.fixture
def lines() -> Iterator[Inbox]:
    """What Relé logs above DEBUG."""
    handler = _Lines()
    logger = logging.getLogger("rele")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.inbox
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def publishes_natively(publish_server: PublishServer) -> Callable[..., Recorder]:
    """Let ``rele.publish`` use our own engine with these settings; what outcome hooks are given."""

    def configure(**settings: Any) -> Recorder:
        rele.setup({"GC_PROJECT_ID": "project", "MIDDLEWARE": [], "ENGINE": "rele", **settings})
        recorder = Recorder(hooks=("post_publish_success", "post_publish_failure"))
        register(recorder)
        return recorder

    return configure


@pytest.fixture
def run_worker(configure: Callable[..., Config]) -> Iterator[Callable[..., Worker]]:
    """Start a worker as ``create_and_run`` makes it; it is stopped when the test ends."""
    workers: list[Worker] = []

    def run(subscriptions: Sequence[Subscription], **settings: Any) -> Worker:
        worker = make_worker(subscriptions, configure(**settings))
        worker.setup()
        worker.start()
        workers.append(worker)
        return worker

    yield run
    for worker in workers:
        stop(worker)


def stop(worker: Worker) -> None:
    """Drain the worker; it exits with status 0."""
    with pytest.raises(SystemExit) as exit_:
        worker.stop()
    assert exit_.value.code == 0
