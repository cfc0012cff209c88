"""Real processes in a project of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud import pubsub_v1

import rele

REPOSITORY = Path(__file__).parents[2]


class Project:
    """A folder with a ``settings.py`` and a ``subs.py``, on a Pub/Sub server."""

    def __init__(self, folder: Path, server: str, project_id: str) -> None:
        self.folder = folder
        self.project_id = project_id
        self.environment = {
            **os.environ,
            "PUBSUB_EMULATOR_HOST": server,
            "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default,ignore:You are using a:FutureWarning",
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self._processes: list[subprocess.Popen[str]] = []

    def write(self, name: str, code: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        return path

    def write_settings(self, **settings: object) -> None:
        values = {"GC_PROJECT_ID": self.project_id, "MIDDLEWARE": [], **settings}
        lines = "\n".join(f"    {name!r}: {value!r}," for name, value in values.items())
        self.write(
            "settings.py",
            f"from rele.retry_policy import RetryPolicy\nRELE = {{\n{lines}\n}}\n",
        )

    def start(
        self,
        *arguments: str,
        python: str = sys.executable,
        output: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a Python process in the folder; its output can be read as text."""
        process = subprocess.Popen(
            [python, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def run(self, *arguments: str, python: str = sys.executable) -> tuple[int, str]:
        """Run a Python process in the folder to its end: its exit status and its output."""
        process = self.start(*arguments, python=python)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def kill_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=10)
            if process.stdout is not None:
                process.stdout.close()


def publish_jobs(project: Project, numbers: Iterable[int]) -> None:
    """Publish to the topic ``jobs``, from this process and to the server of its environment."""
    rele.setup({"GC_PROJECT_ID": project.project_id, "MIDDLEWARE": []})
    for number in numbers:
        rele.publish("jobs", number)
    assert rele.publishing.flush(30)


def read_until(stream: IO[str] | None, text: str) -> str:
    """Read lines up to the one that contains ``text``; the test's time limit is the limit."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"The process ended without {text!r}:\n{''.join(lines)}")


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


def _pull_at_once(subscriber: pubsub_v1.SubscriberClient, path: str) -> Sequence[Any]:
    try:
        response = subscriber.pull(
            request={"subscription": path, "max_messages": 1000}, retry=None, timeout=0.5
        )
    except DeadlineExceeded:  # nothing waits
        return ()
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
