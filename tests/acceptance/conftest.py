"""Projects on the embedded server, and what arrives from them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.cloud import pubsub_v1
from google.pubsub_v1.types import PullRequest

from tests.support.project import Project, publish_jobs, read_until


@pytest.fixture
def project(tmp_path: Path, embedded_server: str, project_id: str) -> Iterator[Project]:
    """A project without Django, on the embedded server."""
    project = Project(tmp_path, embedded_server, project_id)
    project.write_settings()
    yield project
    project.kill_all()


@pytest.fixture
def start_worker(project: Project) -> Callable[[], subprocess.Popen[str]]:
    """Start ``rele-cli run`` in the project and wait until it pulls."""

    def start() -> subprocess.Popen[str]:
        process = project.start("-m", "rele", "run")
        read_until(process.stdout, "Pulling messages")
        return process

    return start


@pytest.fixture
def publish(
    project: Project, embedded_server: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[range], None]:
    """Publish jobs of these numbers, past whatever a test puts before the server."""

    def publish(numbers: range) -> None:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", embedded_server)
        publish_jobs(project, numbers)

    return publish


def _pull_at_once(subscriber: pubsub_v1.SubscriberClient, path: str) -> Sequence[Any]:
    """What waits, however long a busy machine takes to say so; empty: nothing does."""
    request = PullRequest(subscription=path, max_messages=1000, return_immediately=True)
    response = subscriber.transport.pull(request, timeout=30, metadata=())  # the client warns
    received: Sequence[Any] = response.received_messages
    return received


@pytest.fixture
def pull_events(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], list[bytes]]]:
    """Make the topic ``events`` with a subscription; give the payloads that have arrived on it."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", project.environment["PUBSUB_EMULATOR_HOST"])
    topic = f"projects/{project.project_id}/topics/events"
    path = f"projects/{project.project_id}/subscriptions/events"
    with pubsub_v1.PublisherClient() as publisher:
        publisher.create_topic(request={"name": topic})
    subscriber = pubsub_v1.SubscriberClient()
    subscriber.create_subscription(request={"name": path, "topic": topic})

    def pull() -> list[bytes]:
        messages: dict[str, bytes] = {}
        while True:
            received = _pull_at_once(subscriber, path)
            if not received:
                return list(messages.values())
            messages |= {item.message.message_id: item.message.data for item in received}
            subscriber.acknowledge(
                request={"subscription": path, "ack_ids": [item.ack_id for item in received]}
            )

    with subscriber:
        yield pull


@pytest.fixture
def count_events(pull_events: Callable[[], list[bytes]]) -> Callable[[], int]:
    """Count the events that have arrived, each message once."""
    return lambda: len(pull_events())


@pytest.fixture
def events(pull_events: Callable[[], list[bytes]]) -> Callable[[], set[int]]:
    """The events that have arrived, which are numbers; each must have arrived once."""

    def numbers() -> set[int]:
        payloads = [int(payload) for payload in pull_events()]
        assert len(payloads) == len(set(payloads))
        return set(payloads)

    return numbers
