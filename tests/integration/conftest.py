"""Publishers and workers against a running Pub/Sub server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

import rele
from rele.config import Config
from rele.subscription import Subscription
from rele.worker import Worker, make_worker


@pytest.fixture
def configure(pubsub: str, project_id: str) -> Callable[..., Config]:
    """Set Relé up for a project of the test's own, with the settings that it gives."""

    def configure(**settings: Any) -> Config:
        return rele.setup({"GC_PROJECT_ID": project_id, "MIDDLEWARE": [], **settings})

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
